// Expo in an app with Clerk's config plugin, so that there is a native module: Clerk's SDK for iOS, which has the
// session too. Here React runs, and with it the effects in which Expo keeps the two in step.
//
// React, its scheduler for React Native and @clerk/react are what npm has; the renderer is React's own for tests, which
// draws nothing. What stands in for something is the phone: the native module, and what expo.mjs has.
//
// A restart is a reload of the JavaScript here: the process lives on, and with it the native module.

import { DriverError } from '../../driver/errors.mjs';
import { PUBLISHABLE_KEY, drive } from './clerk_js.mjs';
import * as expo from './expo.mjs';

export const { errorName } = expo;

export const environment = runtime => ({
  ...expo.environment(runtime),
  // As React Native has them, in a release.
  __DEV__: false,
  process: { env: { NODE_ENV: 'production' } },
  setImmediate: (callback, ...words) => queueMicrotask(() => callback(...words)),
});

// What a module requires, and the file of it that runs in a release.
const PRODUCTION = {
  react: 'react/cjs/react.production.js',
  'react/jsx-runtime': 'react/cjs/react-jsx-runtime.production.js',
  scheduler: 'scheduler/cjs/scheduler.native.production.js',
  'scheduler/unstable_mock': 'scheduler/cjs/scheduler-unstable_mock.production.js',
};

export function create(exports, runtime, announce, { require: requireWith, credential, device, fetch }) {
  if (runtime !== 'headless') {
    throw new DriverError(`@clerk/expo is headless on a phone: there is no ${runtime} of it`);
  }
  device.items ??= new Map([[expo.CLIENT_JWT, credential]]);
  const store = expo.secureStore(device);

  let clerk = null; // that the provider has made
  let mount = null; // to be called when it is loaded, with the promise of that, which @clerk/react keeps to itself
  const Clerk = new Proxy(exports.Clerk, {
    construct(target, words) {
      clerk = Reflect.construct(target, words);
      const { load } = clerk;
      clerk.load = options => {
        const loading = load(options);
        mount({ loading });
        return loading;
      };
      return clerk;
    },
  });

  const asked = new Set(); // of the native module
  const native = nativeModule(device, fetch, asked, () => clerk?.client?.lastActiveSessionId);
  let known = false; // not to 3.0, which has no native module yet
  const nativeOf = name => (name === 'ClerkExpo' ? ((known = true), native) : null);

  const stubs = {
    ...expo.stubsOf({ ...exports, Clerk }, store.module),
    'react-native': { Platform: { OS: 'ios' }, TurboModuleRegistry: { get: nativeOf }, NativeEventEmitter },
    expo: { requireOptionalNativeModule: nativeOf },
    'react-dom': {}, // for portals on a page
    'react-dom/client': {},
  };
  for (const name of ['@clerk/react', '@clerk/react/internal']) delete stubs[name];
  for (const [name, file] of Object.entries(PRODUCTION)) {
    Object.defineProperty(stubs, name, { get: () => require(file) });
  }
  const require = requireWith(stubs);
  const { createElement } = require('react');
  const renderer = require('react-test-renderer/cjs/react-test-renderer.production.js');
  const { ClerkProvider } = require('@clerk/expo/dist/provider/ClerkProvider');
  const { tokenCache } = require('@clerk/expo/dist/token-cache');
  const props = { publishableKey: PUBLISHABLE_KEY, tokenCache, telemetry: false };

  let tree = null;
  let loading = null; // the promise of the last load()
  let sdk = null;
  return {
    lock: store.lock,
    // An app loads Clerk again by mounting the provider again.
    async load() {
      const mounted = new Promise(resolve => (mount = resolve));
      tree?.unmount();
      tree = renderer.create(createElement(ClerkProvider, props));
      ({ loading } = await mounted);
      sdk ??= drive(clerk, () => loading, announce);
      await sdk.load();
      if (known && !asked.has('configure')) throw new DriverError('@clerk/expo configures no native module');
    },
    signedIn: () => sdk?.signedIn() ?? null,
    activeToken: () => sdk?.activeToken() ?? null,
    get operations() {
      return sdk?.operations ?? {};
    },
    check() {
      const missing = [...asked].find(name => typeof name === 'string' && !(name in native));
      if (missing) throw new DriverError(`@clerk/expo asks its native module for '${missing}', which it has not`);
      sdk?.check();
    },
  };
}

// Where Expo listens to the native module, before that has `addListener` itself. Nothing is heard: the user signs in
// and out in the app's JavaScript alone.
class NativeEventEmitter {
  addListener() {
    return { remove() {} };
  }
}

// Clerk's SDK for iOS behind ClerkExpo (packages/expo/ios, ClerkExpoModule.swift and ClerkViewFactory.swift), as far as
// a device of one user needs it: once it is configured with the credential, it has the session; to sign out, it asks
// the server to end that, and forgets. What else it asks the server is left out, and each call of it takes no time: the
// session that it would hear of is the `lastActive` one of the app's client, if that is loaded. In `asked` is what Expo
// has asked it for.
function nativeModule(device, fetch, asked, lastActive) {
  const state = (device.native ??= { configured: false, token: null, sessionId: FIRST_SESSION, leaving: false });
  const forget = () => Object.assign(state, { configured: false, token: null, sessionId: null, leaving: false });
  if (state.leaving) forget(); // its request has ended with the process of before
  const module = {
    async configure(_, token) {
      if (token) Object.assign(state, { token, sessionId: lastActive() ?? state.sessionId });
      state.configured = true;
    },
    async getSession() {
      if (!state.configured || !state.token) return null;
      state.sessionId ??= lastActive() ?? null;
      return state.sessionId && { sessionId: state.sessionId };
    },
    getClientToken: async () => state.token,
    async signOut() {
      const { configured, token } = state;
      if (!configured) return;
      state.leaving = true;
      try {
        if (token) await fetch(SIGN_OUT, { method: 'POST', headers: { authorization: token }, credentials: 'omit' });
      } finally {
        forget();
      }
    },
    refreshClient: async () => {}, // 3.4
    syncClientStateFromJs: async token => void (state.token = token), // since 3.5, as `addListener`
    addListener: () => ({ remove() {} }),
  };
  for (const name of LOOKED_AT) module[name] = undefined;
  return new Proxy(module, { get: (_, name) => (asked.add(name), module[name]) });
}

const LOOKED_AT = ['__esModule', 'default', 'then']; // by what loads a module, and by a promise of one
const FIRST_SESSION = 'sess_1'; // of a device that has just signed in (tokens.py)
const SIGN_OUT = 'https://clerk.test/v1/client/sessions?_method=DELETE'; // in the form that the fake server knows
