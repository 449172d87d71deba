// Expo in an app that keeps the last client and settings, too, but in a storage of its own (IStorage of
// packages/expo/src/provider/singleton/types.ts): a file, say, which a locked keychain does not keep back.

import * as expo from './expo.mjs';

export const { environment, errorName } = expo;

export function propsOn(device) {
  const files = (device.files ??= new Map());
  const get = async key => files.get(key) ?? null;
  const set = async (key, value) => void files.set(key, value);
  return () => ({ __experimental_resourceCache: () => ({ get, set }) });
}

export function create(exports, runtime, announce, around) {
  return expo.create(exports, runtime, announce, around, { props: propsOn(around.device) });
}
