// Expo in an app whose code gets hold of the Clerk instance before the provider is rendered, as the comment of
// getClerkInstance shows it (packages/expo/src/provider/singleton/singleton.ts): with the publishable key alone, so
// without the token cache that the provider is given.

import { PUBLISHABLE_KEY } from './clerk_js.mjs';
import * as expo from './expo.mjs';

export const { environment, errorName } = expo;

export function create(exports, runtime, announce, around) {
  const first = require =>
    void require('@clerk/expo/dist/provider/singleton').getClerkInstance({ publishableKey: PUBLISHABLE_KEY });
  return expo.create(exports, runtime, announce, around, { first });
}
