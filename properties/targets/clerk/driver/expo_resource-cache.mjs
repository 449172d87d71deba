// Expo in an app that keeps the last client and settings on the phone, in Expo's own cache of them over the secure store,
// to start with them when there is no network (__experimental_resourceCache of the provider).

import * as expo from './expo.mjs';

export const { environment, errorName } = expo;

export function create(exports, runtime, announce, around) {
  const props = require => ({ __experimental_resourceCache: require('@clerk/expo/dist/resource-cache').resourceCache });
  return expo.create(exports, runtime, announce, around, { props });
}
