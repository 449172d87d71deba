__HEADER__
//
// The SDK is a build, unchanged. Only its clock, its network and its server are played here, so that nothing is
// random and nothing waits. What happens is in the last lines.

import { createRequire } from 'node:module';
//: vitest
import { expect, test, vi } from 'vitest';
//: end

const require = createRequire(import.meta.url);
//: vitest
const BUNDLE = require('path').resolve(process.env.CLERK_BUNDLE ?? 'dist/clerk.native.js');
function cannot(why) {
  throw why instanceof Error ? why : new Error(why);
}
const lines = []; // what happens, for the message of a failure
vi.spyOn(console, 'log').mockImplementation(line => lines.push(line));
//: else
const BUNDLE = require('path').resolve(process.argv[2] ?? 'node_modules/@clerk/clerk-js/dist/clerk.native.js');
function cannot(why) {
  const missing = why.code === 'MODULE_NOT_FOUND';
  const fix = missing ? ': run `npm i @clerk/clerk-js @sinonjs/fake-timers` here, or name a bundle' : '';
  console.error(`Set-up problem: ${String(why.message ?? why).split('\n')[0]}${fix}`);
  process.exit(2);
}
process.on('uncaughtException', cannot);
process.on('unhandledRejection', () => {}); // what the SDK leaves unhandled ends no app either
//: end
//: nothing-uncaught
const uncaught = [];
process.on('unhandledRejection', error => uncaught.push(String(error?.status ?? error)));
//: end

// -- The clock. It stands still unless told otherwise.
const SIGN_IN = Date.UTC(2026, 0, 1);
const toFake = ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'];
//: vitest
vi.useFakeTimers({ now: SIGN_IN, toFake });
const clock = {
  get now() { return Date.now(); },
  tick: ms => vi.advanceTimersByTime(ms),
  tickAsync: ms => vi.advanceTimersByTimeAsync(ms),
  setSystemTime: at => vi.setSystemTime(at),
  reset: () => vi.clearAllTimers(),
};
//: else
const clock = require('@sinonjs/fake-timers').install({ now: SIGN_IN, toFake });
//: end
const settle = () => clock.tickAsync(0); // until every promise that can go on has gone on

//: setClock
let skew = 0; // of the device's clock, against the server's
const now = () => clock.now - skew; // at the server
//: else
const now = () => clock.now;
//: end
function tell(who, what) {
  const at = new Date(now() - SIGN_IN).toISOString().slice(11, 23);
  //: days
  const day = 1 + Math.floor((now() - SIGN_IN) / 86_400_000);
  console.log(`day ${day}  ${at}  ${who.padEnd(6)}  ${what}`);
  //: else
  console.log(`${at}  ${who.padEnd(6)}  ${what}`);
  //: end
}

//: advance
const advance = ms => clock.tickAsync(ms); // every timer runs when it is due

//: end
//: setClock
// Somebody sets the device's clock. Timers go by another one.
function setClock(ahead, how) {
  tell('OS', `sets the device's clock ${how}`);
  clock.setSystemTime(now() + ahead);
  skew = ahead;
  return settle();
}

//: end
//: goOffline goOnline
// The device loses the network, or gets it back. Nobody is told; whoever looks can see it.
function connect(online, how) {
  tell('OS', how);
  navigator.onLine = online;
}

//: end
//: freeze
// A frozen event loop: timers that come due wait in line, and run at once, late, when it thaws.
const { setTimeout: arm, clearTimeout: disarm } = globalThis;
const late = new Map(); // in the order in which they came due
let frozen = false;
globalThis.setTimeout = (callback, ms, ...args) => {
  const run = () => (frozen ? late.set(timer, run) : callback(...args));
  const timer = arm(run, ms);
  return timer;
};
globalThis.clearTimeout = timer => late.delete(timer) || disarm(timer);

async function freeze(ms, length) {
  tell('OS', `freezes the event loop for ${length}: timers do not run`);
  frozen = true;
  clock.tick(ms);
  frozen = false;
  for (const [timer, run] of late) {
    late.delete(timer);
    run();
    await settle();
  }
}

//: end
//: sleep
// A sleeping device: the wall clock goes on, while timers keep the time they have to go.
function sleep(ms, length) {
  tell('OS', `puts the device to sleep for ${length}: timers keep their time to go`);
  clock.setSystemTime(clock.now + ms);
  return settle();
}

//: end
// -- The server. It answers when told to, once the user is signed in.
let tokens = 0;
//: sessions
const users = { sess_1: 1 }; // whose each session is
let live = ['sess_1']; // those that the server has not ended
const born = { sess_1: SIGN_IN }; // when each began
const held = () => live.filter(sid => now() - born[sid] < 30 * 86_400_000);
const left = []; // those that the app has signed out of
const sidOf = pathname => pathname.match(/\/(sess_\d+)\//)?.[1];
function mint({ template, organization, sid = 'sess_1' } = {}, older, user = users[sid]) {
//: else
//: foreign-token
function mint({ template, organization } = {}, older, user = 1) {
//: else
//: stale-token
function mint({ template, organization } = {}, older) {
//: else
function mint({ template, organization } = {}) {
//: end
//: end
//: end
  const iat = Math.floor(now() / 1000);
  //: sessions
  const about = { ...(template ? { template } : { sid }), org_id: organization, sub: `user_${user}` };
  //: else
  //: foreign-token
  const sid = `sess_${user}`;
  const about = { ...(template ? { template } : { sid }), org_id: organization, sub: `user_${user}` };
  //: else
  const about = { ...(template ? { template } : { sid: 'sess_1' }), org_id: organization };
  //: end
  //: end
  const claims = { iss: 'https://clerk.test', sub: 'user_1', iat, nbf: iat - 10, exp: iat + 60, ...about };
  //: stale-token
  const oiat = older ? SIGN_IN / 1000 - 1 : iat; // when its claims were put together
  const parts = [{ alg: 'RS256', typ: 'JWT', oiat }, { ...claims, jti: `${++tokens}` }, 'unsigned'];
  //: else
  const parts = [{ alg: 'RS256', typ: 'JWT', oiat: iat }, { ...claims, jti: `${++tokens}` }, 'unsigned'];
  //: end
  return parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
}
const json = (status, body) => new Response(JSON.stringify(body), { status });
//: retry-after
const failure = (status, code, headers) =>
  new Response(JSON.stringify({ errors: [{ code, message: code }] }), { status, headers });
//: else
//: failure
const failure = (status, code) => json(status, { errors: [{ code, message: code }] });
//: end
//: end
const client = (...sessions) =>
  json(200, { response: { id: 'client_1', sessions, last_active_session_id: sessions[0]?.id ?? null } });
//: sessions
const actives = {}; // the active organization of each session
const session = (sid, older) => {
  const last_active_token = { jwt: mint({ organization: actives[sid], sid }, older) };
  const last_active_organization_id = actives[sid] ?? null;
  const user = { id: `user_${users[sid]}` };
  return { id: sid, status: 'active', user, last_active_token, last_active_organization_id };
};
const current = () => clerk.session?.id ?? held()[0]; // which session the app has
const withClient = (response, sessions) =>
  json(200, { response, client: { id: 'client_1', sessions, last_active_session_id: response.id ?? null } });
const about = (first, older) =>
  [first, ...held().filter(sid => sid !== first)].map((sid, place) => session(sid, older && !place));
//: else
//: touch setActive
const touched = one =>
  json(200, { response: one, client: { id: 'client_1', sessions: [one], last_active_session_id: one.id } });
//: end
//: setActive
let active; // organization
//: end
//: setActive
const session = older => {
  const last_active_token = { jwt: mint({ organization: active }, older) };
  const last_active_organization_id = active ?? null;
  return { id: 'sess_1', status: 'active', user: { id: 'user_1' }, last_active_token, last_active_organization_id };
};
//: else
//: stale-token
const session = older => {
  const last_active_token = { jwt: mint(undefined, older) };
//: else
const session = () => {
  const last_active_token = { jwt: mint() };
//: end
  return { id: 'sess_1', status: 'active', user: { id: 'user_1' }, last_active_token };
};
//: end
//: end
//: requests
const ANSWERS = {
  //: granted
  'a token': request => json(200, { jwt: mint(request) }),
  //: end
  //: session
  //: sessions
  'the session, still there': ({ pathname, organization, user }) => {
    if (pathname.endsWith('/touch')) {
      actives[sidOf(pathname)] = organization;
      const sessions = about(sidOf(pathname));
      return withClient(sessions[0], sessions);
    }
    if (!pathname.endsWith('/sign_ins')) return client(...about(current()));
    const created_session_id = `sess_${Object.keys(users).length + 1}`;
    users[created_session_id] = user;
    live.push(created_session_id);
    born[created_session_id] = now();
    return withClient({ id: 'sia_1', status: 'complete', created_session_id }, held().map(sid => session(sid)));
  },
  //: else
  //: setActive
  'the session, still there': ({ pathname, organization }) => {
    if (!pathname.endsWith('/touch')) return client(session());
    active = organization;
    return touched(session());
  },
  //: else
  //: touch
  'the session, still there': ({ pathname }) => (pathname.endsWith('/touch') ? touched : client)(session()),
  //: else
  'the session, still there': () => client(session()),
  //: end
  //: end
  //: end
  //: end
  //: broken
  '500': () => failure(500, 'internal_clerk_error'),
  //: end
  //: rate-limited
  '429': () => failure(429, 'too_many_requests'),
  //: end
  //: retry-after
  '429, to come back in 30 s': () => failure(429, 'too_many_requests', { 'retry-after': '30' }),
  //: end
  //: forbidden
  '403': () => failure(403, 'user_banned'),
  //: end
  //: blocked
  '403 of a firewall': () => failure(403, 'request_blocked'),
  //: end
  //: not-found
  '404': () => failure(404, 'resource_not_found'),
  //: end
  //: lean-session
  'the session, without its token': ({ organization }) => {
    const last_active_organization_id = organization ?? null;
    const lean = { id: 'sess_1', status: 'active', user: { id: 'user_1' }, last_active_token: null };
    return json(200, { response: { ...lean, last_active_organization_id }, client: null });
  },
  //: end
  //: foreign-token
  'a token of another session': request => json(200, { jwt: mint(request, false, 2) }),
  //: end
  //: gateway-page
  "503 and a gateway's page": () => new Response('<html>Service Unavailable</html>', { status: 503 }),
  //: end
  //: lost
  'nothing: the connection is lost': () => Promise.reject(new TypeError('Network request failed')),
  //: end
  //: unauthorized
  '401': () => failure(401, 'authentication_invalid'),
  //: end
  //: no-session
  //: sessions
  'no session': ({ pathname }) => {
    const others = held().includes(current()) ? [] : held().map(sid => session(sid));
    if (!pathname.endsWith('/sessions')) return client(...others);
    live = [];
    return withClient({ deleted: true }, []);
  },
  //: else
  'no session': () => client(),
  //: end
  //: end
  //: settings
  'the settings': () => json(200, {}),
  //: end
  //: stale-token
  'a token made from older data': request => {
    const { pathname } = request;
    if (pathname.includes('/tokens')) return json(200, { jwt: mint(request, true) });
    //: sessions
    if (!pathname.endsWith('/touch')) return client(...about(current(), true));
    actives[sidOf(pathname)] = request.organization;
    const sessions = about(sidOf(pathname), true);
    return withClient(sessions[0], sessions);
    //: else
    //: setActive
    if (pathname.endsWith('/touch')) active = request.organization;
    //: end
    //: touch setActive
    if (pathname.endsWith('/touch')) return touched(session(true));
    //: end
    return client(session(true));
    //: end
  },
  //: end
};
//: end

//: revokeOther
function revokeOther(number) {
  tell('server', `ends session ${number}, which is not the app's`);
  live = live.filter(sid => sid !== `sess_${number}`);
}
//: end
//: sessions
//: revoke
function revoke(how) {
  tell('server', 'ends the session');
  const [app, user] = [current(), how === 'banned' && users[current()]];
  live = live.filter(sid => sid !== app && users[sid] !== user);
}
//: end
//: restart
const holds = () => held().includes(current());
//: end
//: else
//: restart
//: revoke
let revoked = false;
function revoke() {
  tell('server', 'ends the session');
  revoked = true;
}
const holds = () => !revoked && now() - SIGN_IN < 30 * 86_400_000;
//: else
const holds = () => now() - SIGN_IN < 30 * 86_400_000;
//: end
//: else
//: revoke
const revoke = () => tell('server', 'ends the session');
//: end
//: end
//: end
const requests = new Map(); // those in flight, numbered from sign-in on
let sent = 0;
//: organization sessions
globalThis.fetch = (target, { method = 'GET', signal, body } = {}) => {
//: else
globalThis.fetch = (target, { method = 'GET', signal } = {}) => {
//: end
  const { pathname } = new URL(target);
  //: start
  //: sessions
  if (booting) return Promise.resolve(pathname === '/v1/client' ? client(session('sess_1')) : json(200, {}));
  //: else
  if (booting) return Promise.resolve(pathname === '/v1/client' ? client(session()) : json(200, {}));
  //: end
  //: else
  //: sessions
  if (!clerk.loaded) return Promise.resolve(pathname === '/v1/client' ? client(session('sess_1')) : json(200, {}));
  //: else
  if (!clerk.loaded) return Promise.resolve(pathname === '/v1/client' ? client(session()) : json(200, {}));
  //: end
  //: end
  const number = ++sent;
  tell('SDK', `sends ${method} ${pathname} (request ${number})`);
  //: left-session-stays-left
  if (left.includes(sidOf(pathname))) afterwards.push(`request ${number} is sent`);
  //: end
  return new Promise((resolve, reject) => {
    //: sessions
    const form = new URLSearchParams(body);
    const organization = form.get('organization_id') || form.get('active_organization_id') || undefined;
    const about = { template: pathname.split('/tokens/')[1], organization, sid: sidOf(pathname) };
    requests.set(number, { method, pathname, resolve, ...about, user: 1 + USERS.indexOf(form.get('identifier')) });
    //: else
    //: organization
    const form = new URLSearchParams(body);
    const organization = form.get('organization_id') || form.get('active_organization_id') || undefined;
    requests.set(number, { method, pathname, resolve, template: pathname.split('/tokens/')[1], organization });
    //: else
    requests.set(number, { method, pathname, resolve, template: pathname.split('/tokens/')[1] });
    //: end
    //: end
    signal?.addEventListener('abort', () => requests.delete(number) && reject(signal.reason));
  });
};
//: requests
//: no-request-storm
let asksAgain = false;
//: end
//: granted session no-session settings
//: sessions
const paths = {
  'a token': /tokens/,
  'the session, still there': /client$|touch$|sign_ins$/,
  'no session': /client$|sessions$/,
};
//: else
const paths = { 'a token': /tokens/, 'the session, still there': /client$|touch$/, 'no session': /client$/ };
//: end
//: settings
paths['the settings'] = /environment$/;
//: end
//: end
//: serve
// The server acts now. Its reply arrives later, or never.
const replies = new Map();
function serve(number, what) {
  const request = requests.get(number);
  //: granted session no-session settings
  if (!request || !request.pathname.match(paths[what])) return verdict(`no request ${number} to answer so`);
  //: else
  if (!request) return verdict(`no request ${number} to answer`);
  //: end
  tell('server', `acts on request ${number}: ${what}; its reply is under way`);
  replies.set(number, ANSWERS[what](request));
}
//: end
//: deliver lose
function end(number, reply, how) {
  const request = requests.get(number);
  requests.delete(number);
  tell('net', `${how} the reply to request ${number}`);
  request.resolve(reply);
  //: no-request-storm
  const before = sent;
  const again = ([later, { method }]) => later > before && method === 'GET' && request.method === 'GET';
  return settle().then(() => (asksAgain ||= [...requests].some(again)));
  //: else
  return settle();
  //: end
}
//: end
//: deliver
const deliver = number => end(number, replies.get(number), 'delivers');
//: end
//: lose
const lose = number => end(number, Promise.reject(new TypeError('Network request failed')), 'loses');
//: end
//: answer
function answer(number, what) {
  const request = requests.get(number);
  //: granted session no-session settings
  if (!request || !request.pathname.match(paths[what])) return verdict(`no request ${number} to answer so`);
  //: else
  if (!request) return verdict(`no request ${number} to answer`);
  //: end
  requests.delete(number);
  tell('server', `answers request ${number}: ${what}`);
  request.resolve(ANSWERS[what](request));
  //: no-request-storm
  const before = sent;
  const again = ([later, { method }]) => later > before && method === 'GET' && request.method === 'GET';
  return settle().then(() => (asksAgain ||= [...requests].some(again)));
  //: else
  return settle();
  //: end
}
//: end
//: end
//: getToken touch setActive start sessions
// -- The app.
const calls = []; // how each of them ended
//: end
//: touch setActive sessions
function call(what, promise) {
  const number = calls.push('still waits');
  tell('app', `calls ${what} (call ${number})`);
  const ended = how => tell('app', `call ${number} ${(calls[number - 1] = how)}`);
  promise().then(
    () => ended('ends well'),
    error => ended(`fails: ${error.status ?? error.code ?? error}`),
  );
  return settle();
}
//: end
//: getToken
function getToken(options = {}) {
  //: sessions
  if (!clerk.session) return call('getToken, without a session', async () => absent());
  //: else
  if (!clerk.session) return verdict('no session to ask for a token');
  //: end
  const number = calls.push('still waits');
  tell('app', `calls getToken(${JSON.stringify(options)}) (call ${number})`);
  const ended = how => tell('app', `call ${number} ${(calls[number - 1] = how)}`);
  clerk.session.getToken(options).then(
    //: token-handed-out-is-valid
    jwt => ended(jwt ? `gets a token${fault(jwt, options)}` : 'gets null'),
    //: else
    //: given-tokens-never-go-backwards
    jwt => ended(jwt ? `gets a token${isOlder(jwt) ? ' older than one before' : ''}` : 'gets null'),
    //: else
    //: left-session-stays-left
    jwt => ended(jwt ? `gets a token${isLeft(jwt) ? ' of a session that the app has left' : ''}` : 'gets null'),
    //: else
    //: no-token-of-another-user
    jwt => ended(jwt ? `gets ${isForeign(jwt) ? "another user's" : 'a'} token` : 'gets null'),
    //: else
    jwt => ended(jwt ? 'gets a token' : 'gets null'),
    //: end
    //: end
    //: end
    //: end
    //: offline-is-not-signed-out
    error => ended(`fails${silence(error)}: ${error.status ?? error.code ?? error}`),
    //: else
    error => ended(`fails: ${error.status ?? error.code ?? error}`),
    //: end
  );
  return settle();
}
//: offline-is-not-signed-out
function silence({ status, code }) {
  const told = navigator.onLine !== false || status || code === 'clerk_offline';
  return told ? '' : ', and does not say that the device is offline';
}
//: end
//: given-tokens-never-go-backwards
const given = []; // how fresh the tokens were that calls got
function isOlder(jwt) {
  const { oiat } = JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url'));
  return given.push(oiat) && given.some(before => before > oiat);
}
//: end
//: left-session-stays-left
const isLeft = jwt => left.includes(JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url')).sid);
//: end
//: no-token-of-another-user
const isForeign = jwt => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url')).sub !== 'user_1';
//: end
//: token-handed-out-is-valid
function fault(jwt, options) {
  //: organization
  const { exp, template, org_id } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
  const { organizationId } = options;
  if (organizationId !== undefined && (org_id ?? '') !== organizationId) return ' of another organization';
  //: else
  const { exp, template } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
  //: end
  if (now() >= exp * 1000) return ' that has expired';
  return template === options.template ? '' : ' of another template';
}
//: end
//: end
//: touch
function touch() {
  if (!clerk.session) return verdict('no session to touch');
  return call('touch()', () => clerk.session.touch());
}
//: end
//: setActive
function setActive(organization) {
  if (!clerk.session) return verdict('no session whose organization could be another');
  return call(`setActive({ organization: ${JSON.stringify(organization)} })`, () => clerk.setActive({ organization }));
}
//: end
//: sessions
const absent = () => {
  throw Object.assign(new Error(), { code: 'there is no session' });
};
const USERS = ['ada@example.com', 'eve@example.com'];
//: end
//: left-session-stays-left
const afterwards = []; // what was sent for a session after the app had left it
//: end
//: signIn
function signIn(user) {
  const identifier = USERS[user - 1];
  return call(`signIn.create({ identifier: '${identifier}' }) and setActive`, async () => {
    const attempt = await clerk.client.signIn.create({ strategy: 'password', identifier, password: 'secret' });
    await (attempt.createdSessionId ? clerk.setActive({ session: attempt.createdSessionId }) : absent());
  });
}
//: end
//: signOut
function signOut() {
  const known = Object.keys(users);
  return call('signOut()', () => clerk.signOut().then(() => left.push(...known)));
}
//: end
//: setActiveSession
function setActiveSession() {
  const other = clerk.client.sessions.find(({ id }) => id !== clerk.session?.id);
  return call('setActive({ session })', async () => (other ? clerk.setActive({ session: other.id }) : absent()));
}
//: end

//: start
// The process of the app ends, with its timers, requests and calls. Another one loads the SDK.
function start() {
  tell('OS', 'kills the app, and it starts again');
  const at = clock.now;
  clock.reset();
  clock.setSystemTime(at);
  requests.clear();
  calls.forEach((how, place) => how === 'still waits' && (calls[place] = 'ended with the app'));
  create();
  return load();
}

function load() {
  const number = calls.push('still waits');
  tell('app', `calls load() (call ${number})`);
  const ended = how => tell('app', `call ${number} ${(calls[number - 1] = how)}`);
  clerk.load(OPTIONS).then(
    () => (listen(), ended(`ends well, with ${clerk.session ? 'the' : 'no'} session`)),
    error => ended(`fails: ${error.status ?? error.code ?? error}`),
  );
  return settle();
}

//: end
//: restart
// What it asks for is answered at once, and truly.
async function restart() {
  await start();
  for (const [number, { pathname }] of [...requests]) {
    const sessions = holds() ? 'the session, still there' : 'no session';
    await answer(number, pathname === '/v1/client' ? sessions : 'the settings');
  }
}

//: end
// -- The verdict, at the end or where a version goes another way.
//: vitest
class Verdict extends Error {}
const NONE = 'no defect';
//: end
function verdict(detour) {
  if (detour) console.log(`Here this version goes another way: there is ${detour}.`);
  //: dropped
  const [defect, says] = [!clerk.session, 'the user is signed out, while the server still holds the session'];
  //: end
  //: revoked-session-signs-out
  const [defect, says] = [!detour && clerk.session, 'the session has ended, and the user stays signed in'];
  //: end
  //: foreground-recovers
  const last = calls.at(-1);
  //: touch setActive sessions
  const [defect, says] = [!detour && !last?.match(/token|well/), `the last call ${last}`];
  //: else
  const [defect, says] = [!detour && !last?.includes('token'), `the last call of getToken ${last}`];
  //: end
  //: end
  //: token-handed-out-is-valid
  const wrong = calls.find(how => how.startsWith('gets a token '));
  const [defect, says] = [wrong, `a call of getToken ${wrong}`];
  //: end
  //: given-tokens-never-go-backwards
  const older = calls.find(how => how === 'gets a token older than one before');
  const [defect, says] = [older, 'a call of getToken gets a token that is older than one before'];
  //: end
  //: no-token-of-another-user
  const another = calls.find(how => how === "gets another user's token");
  const [defect, says] = [another, "a call of getToken gets another user's token"];
  //: end
  //: left-session-stays-left
  const got = calls.find(how => how.includes('has left')) && 'a call of getToken gets a token';
  const [defect, says] = [got ?? afterwards[0], `${got ?? afterwards[0]} for a session that the app has left`];
  //: end
  //: nothing-uncaught
  const [defect, says] = [uncaught.length > 0, `nobody catches ${uncaught[0]}`];
  //: end
  //: no-request-storm
  const [defect, says] = [asksAgain, 'an answer to GET /client makes the SDK ask again in the same instant'];
  //: end
  //: every-call-settles
  //: start
  const [defect, says] = [!detour && calls.includes('still waits'), 'a call still waits'];
  //: else
  const [defect, says] = [!detour && calls.includes('still waits'), 'a call of getToken still waits'];
  //: end
  //: end
  //: start-recovers
  const [defect, says] = [!detour && !clerk.session, `the last load() ${calls.at(-1)}`];
  //: end
  //: offline-is-not-signed-out
  //: getToken
  const wrong = calls.find(how => how === 'gets null' || how.includes('does not say'));
  //: else
  const wrong = undefined;
  //: end
  const out = navigator.onLine === false && !clerk.session;
  const [defect, says] = [wrong || out, wrong ? `a call of getToken ${wrong}` : 'being offline signs the user out'];
  //: end
  //: tokens-never-go-backwards
  const jwt = clerk.session?.lastActiveToken.getRawString() ?? '';
  const { oiat } = jwt && JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url'));
  const [defect, says] = [oiat < SIGN_IN / 1000, 'the last active token was made from older data'];
  //: end
  //: vitest
  throw new Verdict(defect ? says : NONE);
  //: else
  //: unknown
  cannot('whether this is a defect is not for a script to say');
  //: else
  console.log(defect ? `DEFECT: ${says}.` : 'No defect: it does not happen in this version.');
  process.exit(defect ? 1 : 0);
  //: end
  //: end
}

// -- The SDK, as it runs in __PLACE__.
//: headless
const navigator = { product: 'ReactNative' };
const experimental = { runtimeEnvironment: 'headless' };
//: else
const navigator = { onLine: true, userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0' };
const experimental = {};
//: end
Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
for (const name of ['BroadcastChannel', 'localStorage', 'sessionStorage']) delete globalThis[name];
globalThis.window = globalThis;
Math.random = () => 0; // no jitter

// Only now, when the clock and the network are ours.
//: start
const OPTIONS = { standardBrowser: false, telemetry: false, experimental };
let clerk, signedIn, listens;
let booting = true; // the SDK loads for the first time
function create() {
  delete require.cache[BUNDLE]; // what it remembers is its process's
  clerk = new (require(BUNDLE).Clerk)(`pk_live_${btoa('clerk.test$')}`);
  listens = false;
}
function listen() {
  if (listens) return;
  [listens, signedIn] = [true, Boolean(clerk.session)];
  if (!signedIn) tell('SDK', 'signs the user out');
  clerk.addListener(({ session }) => {
    if (session === null && signedIn) signedIn = tell('SDK', 'signs the user out');
  });
}
create();
clerk.load(OPTIONS).catch(cannot);
await settle();
if (!clerk.session) cannot('load() does not sign in');
listen();
booting = false;
//: else
const clerk = new (require(BUNDLE).Clerk)(`pk_live_${btoa('clerk.test$')}`);
clerk.load({ standardBrowser: false, telemetry: false, experimental }).catch(cannot);
await settle();
if (!clerk.session) cannot('load() does not sign in');
let signedIn = true;
clerk.addListener(({ session }) => {
  if (session === null && signedIn) signedIn = tell('SDK', 'signs the user out');
});
//: end
//: vitest
//: else
console.log(process.argv[2] ?? `@clerk/clerk-js ${require(`${BUNDLE}/../../package.json`).version}`);
//: end

//: vitest
test(__TITLE__, async () => {
  // -- What happens. The user is signed in, with a token of 60 s; the server holds the session for 30 days.
  async function story() {
__STORY__
    verdict();
  }
  const end = await story().catch(thrown => thrown);
  if (!(end instanceof Verdict)) throw end;
  expect(end.message, lines.join('\n')).toBe(NONE);
});
//: else
// -- What happens. The user is signed in, with a token of 60 s; the server holds the session for 30 days.
__STORY__
verdict();
//: end
