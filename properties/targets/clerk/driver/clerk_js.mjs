// What is Clerk's in the Node process: how @clerk/clerk-js is started and what its errors are called.
//
// instance.mjs says what a glue module exports, and does the rest.

import { DriverError } from '../../driver/errors.mjs';

// `clerk.test` as the frontend API's host, in the form in which a publishable key carries it.
export const PUBLISHABLE_KEY = `pk_live_${Buffer.from('clerk.test$').toString('base64')}`;

// A page before it loads has the server's word that somebody is signed in, and since when (EPOCH of server.py, in s).
// Without it the SDK of a production instance takes the user for signed out.
export const page = { url: 'https://app.clerk.test/', cookies: ['__client_uat=1767225600; path=/'] };

// The cookie that the app's own server reads.
const SESSION_COOKIE = '__session';

// The globals that tell the SDK where it runs. Without a navigator it takes itself for offline and sends
// nothing. React Native's says no more than its product. An extension's worker has no document either.
export function environment(runtime) {
  if (runtime === 'browser') return {}; // a page has it all
  if (runtime === 'headless') return { navigator: { product: 'ReactNative' } };
  return { navigator: { onLine: true, userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0' } };
}

export function create(exports, runtime, announce, around) {
  if (typeof exports.Clerk !== 'function') throw new DriverError('the bundle exports no Clerk');
  const experimental = runtime === 'headless' ? { runtimeEnvironment: 'headless' } : undefined;
  const options = { standardBrowser: runtime === 'browser', experimental };
  const sdk = drive(new exports.Clerk(PUBLISHABLE_KEY), options, announce);
  return { ...sdk, stored: () => around.page?.cookie(SESSION_COOKIE) ?? null };
}

// A Clerk that is not loaded yet, and the options to load it with, as the instance wants to be handed an SDK.
export function drive(clerk, options, announce) {
  let signedIn = false;
  let listens = false;
  const session = () => {
    if (!clerk.session) throw new DriverError('the client holds no session to make this call with');
    return clerk.session;
  };

  return {
    async load() {
      await clerk.load({ ...options, telemetry: false });
      if (listens) return;
      listens = true;
      signedIn = Boolean(clerk.session);
      clerk.addListener(({ session }) => {
        // `undefined` is a change of sessions under way; listeners run synchronously, in the cause's context.
        if (session === undefined || Boolean(session) === signedIn) return;
        signedIn = Boolean(session);
        announce(signedIn);
      });
    },
    signedIn: () => signedIn,
    // The last active token of the session, if there is one: what a browser would have in its cookie.
    activeToken: () => clerk.session?.lastActiveToken?.getRawString() ?? null,
    operations: {
      getToken: ({ template, organization, skip_cache }) =>
        session().getToken({
          template: template ?? undefined,
          organizationId: organization ?? undefined,
          skipCache: skip_cache,
        }),
      touch: () => session().touch(),
      setActive: ({ organization }) => (session(), clerk.setActive({ organization })),
    },
    // Throws when the session went away, or came back, without the listener having been told.
    check() {
      const told = Boolean(clerk.session) === signedIn;
      if (!told) throw new DriverError('the session changed without an announcement');
    },
  };
}

// A short name that stays the same from build to build, where minified class names do not. An error of the server's is
// `bare` if it lacks the code or the message of the answer.
export function errorName(error) {
  const bare = error?.errors?.[0]?.code && error.message ? '' : '-bare';
  const later = error?.retryAfter === undefined ? '' : `-retry-after-${error.retryAfter}`;
  if (typeof error?.status === 'number') return `api-${error.status}${bare}${later}`;
  if (error?.code === 'clerk_offline') return 'offline';
  return error?.code ?? error?.name ?? 'unknown';
}
