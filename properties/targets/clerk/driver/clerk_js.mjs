// What is Clerk's in the Node process: how @clerk/clerk-js is started and what its errors are called.
//
// instance.mjs says what a glue module exports, and does the rest.

import { DriverError } from '../../driver/errors.mjs';

// `clerk.test` as the frontend API's host, in the form in which a publishable key carries it.
export const PUBLISHABLE_KEY = `pk_live_${Buffer.from('clerk.test$').toString('base64')}`;

// A page before it loads has the server's word that somebody is signed in, and since when (EPOCH of server.py, in s).
// Without it the SDK of a production instance takes the user for signed out.
const SIGNED_IN = '__client_uat=1767225600; path=/; secure; samesite=none';
export const page = { url: 'https://app.clerk.test/', cookies: [SIGNED_IN] };

// Who may sign in, by number (USERS of server.py).
const USERS = ['ada@example.com', 'eve@example.com'];

// The cookie that the app's own server reads.
const SESSION_COOKIE = '__session';

const onPage = runtime => runtime === 'browser' || runtime === 'frame';

// The globals that tell the SDK where it runs. Without a navigator it takes itself for offline and sends
// nothing. React Native's says no more than its product. An extension's worker has no document either.
export function environment(runtime) {
  if (onPage(runtime)) return {}; // a page has it all
  if (runtime === 'headless') return { navigator: { product: 'ReactNative' } };
  return { navigator: { onLine: true, userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0' } };
}

export function create(exports, runtime, announce, around) {
  if (typeof exports.Clerk !== 'function') throw new DriverError('the bundle exports no Clerk');
  const experimental = runtime === 'headless' ? { runtimeEnvironment: 'headless' } : undefined;
  const router = onPage(runtime) ? { routerPush: go, routerReplace: go } : {};
  const options = { standardBrowser: onPage(runtime), experimental, ...router };
  const clerk = new exports.Clerk(PUBLISHABLE_KEY);
  const sdk = drive(clerk, () => clerk.load({ ...options, telemetry: false }), announce);
  return { ...sdk, stored: () => around.page?.cookie(SESSION_COOKIE) ?? null };
}

// The app on a page has a router: to go elsewhere, as after a sign-out, loads no other page.
function go() {}

// What an app does that has no Session object to make a call with.
function absent() {
  throw Object.assign(new Error('there is no session'), { code: 'no-session' });
}

const idOf = session => (session ? session.id || 'unnamed' : null);

// A Clerk that is not loaded yet, and what loads it, as the instance wants to be handed an SDK.
export function drive(clerk, load, announce) {
  let signedIn = null; // the id of the session that the app has, or null
  let listens = false;
  // `undefined` while the sessions change, and after a sign-out that failed.
  const session = () => clerk.session ?? absent();

  return {
    async load() {
      await load();
      if (listens) return;
      listens = true;
      signedIn = idOf(clerk.session);
      clerk.addListener(({ session }) => {
        // `undefined` is a change of sessions under way; listeners run synchronously, in the cause's context.
        const id = idOf(session);
        if (session === undefined || id === signedIn) return;
        signedIn = id;
        announce(id !== null, id);
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
      setActiveSession: () => {
        const other = clerk.client.sessions.find(({ id }) => id !== signedIn);
        return session() && other ? clerk.setActive({ session: other.id }) : absent();
      },
      signOut: () => clerk.signOut(),
      async signIn({ user }) {
        const identifier = USERS[user - 1];
        const attempt = await clerk.client.signIn.create({ strategy: 'password', identifier, password: 'secret' });
        await (attempt.createdSessionId ? clerk.setActive({ session: attempt.createdSessionId }) : absent());
      },
    },
    // Throws when the session went away, or came back, without the listener having been told, once there is one: while
    // a page loads, the SDK may have a session that it has made up from the cookie.
    check() {
      const told = !listens || clerk.session === undefined || idOf(clerk.session) === signedIn;
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
