// What is Expo's in the Node process: how @clerk/expo starts @clerk/clerk-js on an iPhone, and its secure store.
//
// Everything of @clerk/expo and @clerk/shared that runs here is what npm has: the provider, the singleton that it
// gets its Clerk from, the two callbacks around each request, the token cache. What stands in for something is in
// `stubsOf`, and only there. The provider is rendered once, as React's first render does it: what it hands to
// @clerk/react is what Clerk is loaded with. React's effects do not run, and there is no native module of Clerk's:
// an app without its config plugin, which does without the synchronisation with Clerk's native SDKs.

import { DriverError } from '../../driver/errors.mjs';
import { PUBLISHABLE_KEY, drive, environment, errorName } from './clerk_js.mjs';

export { environment, errorName };

// packages/expo/src/constants.ts; before 3.1 in createClerkInstance.ts. What phones keep under it outlives releases.
export const CLIENT_JWT = '__clerk_client_jwt';

// How the app sets up Expo is in `app`. `tokenCache` makes its own cache from the secure store; without it the app uses
// Expo's. `first` is what it does before it renders the provider, `props` what else it gives that. Without a credential
// to begin with, the store is empty.
export function create(exports, runtime, announce, { require: requireWith, credential, device }, app = {}) {
  if (runtime !== 'headless') {
    throw new DriverError(`@clerk/expo is headless on a phone: there is no ${runtime} of it`);
  }
  device.items ??= new Map(credential === null ? [] : [[CLIENT_JWT, credential]]);
  const store = secureStore(device);
  const require = requireWith(stubsOf(exports, store.module));
  app.first?.(require);
  const { ClerkProvider } = require('@clerk/expo/dist/provider/ClerkProvider');
  const tokenCache = app.tokenCache?.(store.module) ?? require('@clerk/expo/dist/token-cache').tokenCache;
  const given = { publishableKey: PUBLISHABLE_KEY, tokenCache, ...app.props?.(require) };
  const render = () => {
    const { props } = ClerkProvider(given);
    if (!props?.Clerk) throw new DriverError('the provider of @clerk/expo renders no Clerk');
    return props;
  };
  const { Clerk, children, ...options } = render(); // as @clerk/react's isomorphicClerk.ts: load(this.options)
  const sdk = drive(Clerk, () => Clerk.load({ ...options, telemetry: false }), announce);
  let mounted = false;
  return {
    ...sdk,
    lock: store.lock,
    // An app loads Clerk again by mounting the provider again.
    async load() {
      if (mounted && render().Clerk !== Clerk) throw new DriverError('the provider of @clerk/expo has another Clerk');
      mounted = true;
      await sdk.load();
      const reads = store.asked.has(CLIENT_JWT) || credential === null; // else it may have the one that it was given
      if (!reads) throw new DriverError(`@clerk/expo reads no ${CLIENT_JWT} from its store`);
    },
  };
}

// The keychain of an iPhone, as expo-secure-store hands it on (ios/SecureStoreModule.swift, version 15): while it
// is locked, reading and writing reject, with the words of errSecInteractionNotAllowed; deleting resolves whatever
// SecItemDelete says, which nobody looks at. Here a deletion is carried out. Whether iOS does so in every state in
// which it refuses a read is Apple's to say: what we vouch for is that the SDK asks for it. Expo asks for
// AFTER_FIRST_UNLOCK, which is refused from a restart to the first unlock; but an item keeps the accessibility that
// it was first added with (`update` writes its value alone), and apps report refusals in the background all the
// same (expo/expo#23924).
export function secureStore(device) {
  const { items } = device;
  const asked = new Set(); // keys
  const refuse = () => {
    if (device.locked) throw Object.assign(new Error('User interaction is not allowed.'), { code: 'ERR_KEY_CHAIN' });
  };
  return {
    asked,
    lock: value => void (device.locked = value),
    module: {
      AFTER_FIRST_UNLOCK: 0,
      getItemAsync: async key => (asked.add(key), refuse(), items.get(key) ?? null),
      setItemAsync: async (key, value) => (refuse(), void items.set(key, value)),
      deleteItemAsync: async key => void items.delete(key),
    },
  };
}

export function stubsOf(bundle, secureStore) {
  const element = (type, props) => ({ type, props });
  const nothing = () => {};
  return {
    '@clerk/clerk-js': bundle, // the native bundle of the release that this one of Expo was published with
    '@clerk/clerk-js/headless': bundle, // its name for it before 6.0
    'expo-secure-store': secureStore,
    // A phone, with none of the native modules that an app may add.
    'react-native': { Platform: { OS: 'ios' }, TurboModuleRegistry: { get: () => null } },
    expo: { requireOptionalNativeModule: () => null },
    // One render, whose effects never run.
    react: {
      useCallback: callback => callback,
      useEffect: nothing,
      useLayoutEffect: nothing,
      useMemo: make => make(),
      useRef: current => ({ current }),
      useState: initial => [typeof initial === 'function' ? initial() : initial, nothing],
    },
    'react/jsx-runtime': { jsx: element, jsxs: element },
    '@clerk/react': {},
    '@clerk/react/internal': { InternalClerkProvider: 'InternalClerkProvider' },
    'expo-web-browser': { maybeCompleteAuthSession: nothing }, // for sign-in, which is over
    // What React Native lacks and Node has.
    'base-64': {},
    'react-native-url-polyfill/auto': {},
    'react-native-url-polyfill/auto.js': {},
  };
}
