// Expo in an app with a token cache of its own, which hands on what the secure store says: a read that is refused
// rejects. Expo's own cache deletes what it cannot read (packages/expo/src/token-cache/index.ts).

import * as expo from './expo.mjs';

export const { environment, errorName } = expo;

export const tokenCache = store => ({ getToken: store.getItemAsync, saveToken: store.setItemAsync });

export function create(exports, runtime, announce, around) {
  return expo.create(exports, runtime, announce, around, { tokenCache });
}
