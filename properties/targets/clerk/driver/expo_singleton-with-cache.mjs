// Expo in an app whose code gets hold of the Clerk instance before the provider is rendered, and gives it the token
// cache that it gives the provider.

import { PUBLISHABLE_KEY } from './clerk_js.mjs';
import * as expo from './expo.mjs';

export const { environment, errorName } = expo;

export function create(exports, runtime, announce, around) {
  const first = require => {
    const { tokenCache } = require('@clerk/expo/dist/token-cache');
    const { getClerkInstance } = require('@clerk/expo/dist/provider/singleton');
    getClerkInstance({ publishableKey: PUBLISHABLE_KEY, tokenCache });
  };
  return expo.create(exports, runtime, announce, around, { first });
}
