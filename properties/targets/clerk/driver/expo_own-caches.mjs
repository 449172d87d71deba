// Expo in an app with both caches of its own: a token cache that rejects a read which the secure store refuses, and a
// resource cache that a locked keychain does not keep back.

import * as expo from './expo.mjs';
import { propsOn } from './expo_own-resource-cache.mjs';
import { tokenCache } from './expo_rejecting-cache.mjs';

export const { environment, errorName } = expo;

export function create(exports, runtime, announce, around) {
  return expo.create(exports, runtime, announce, around, { tokenCache, props: propsOn(around.device) });
}
