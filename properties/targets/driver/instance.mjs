// One instance of an SDK: a bundle evaluated afresh, with a clock, timers, a network and globals of its own.
//
// It knows no SDK: what one is called, exports and needs around it is the glue's part. It reads no commands: that
// is loop.mjs. An instance never acts by itself; it says what it wants, and there is a bound on how much of it after
// one stimulus:
//
//   ["timer", id, due, cause]   ["clear", id]   ["request", id, method, path, query, headers, body|null, credentials, cause]
//   ["signed_out", cause]       ["active", token, before]      ["settled", call, value|null, error|null]
//   ["signed_in", cause, session|null]   (it holds a session that it had dropped, or another one than before)
//   ["threw", message]          ["stored", value|null]
//
// An instant is in ms since the instance began. A cause is the call of the app in whose course something
// happened, or null: kept when a timer is set, restored when it fires; promises carry it by themselves.
// A request's query and headers are objects of strings, the names of headers in lower case; its body is the text.
//
// A glue module runs in the realm of Node, and the SDK in one of its own (realm.mjs). It exports
//
//   environment(runtime)   the globals by which the SDK learns where it runs
//   create(exports, runtime, announce, around)   an SDK that is evaluated and not loaded. `announce(held, name)` is to
//                          be called the moment its session is dropped, or it holds one again, or another one; it has
//                          no effect while the SDK loads. `around` has `require` (modules.mjs), `credential`,
//                          `device` (what outlives a restart), `page` (page.mjs), and `fetch`, for what else the
//                          device asks the server
//   errorName(error)       a short name that stays the same from build to build: `api-STATUS` for what the server has
//                          answered, `offline` for an error that says that the device is offline
//   page                   {url, cookies} to begin a page with, for an SDK that runs on one
//
// What `create` returns has `load()`, which may send requests, fail, and be called again; `signedIn()`, whether it
// holds a session, or the name of the one that it holds; and `operations`, which an app calls, by name: each takes an
// object of arguments and returns a promise, of a token or of nothing. Where there is such a
// thing: `activeToken()`, the token that the app sees without asking; `stored()`, what a page keeps of the session
// for the app's own server; `lock(locked)`, for a store that can be locked; and `check()`, which throws when what
// the glue was told and what the SDK holds differ.

import { AsyncLocalStorage } from 'node:async_hooks';

import { DriverError, oneLine } from './errors.mjs';
import { requireIn } from './modules.mjs';
import { pageOf } from './page.mjs';
import { realmOf } from './realm.mjs';

// How many of them one stimulus may set off. Beyond this it is a loop.
const MOST_REQUESTS = 200;
const MOST_OUTPUTS = 10_000;
const MOST_TEXT = 2 ** 24; // characters in all of them

const LONGEST_DELAY = 2 ** 52; // ms: what JSON and the other side have for `never`

const causes = new AsyncLocalStorage();
const cause = () => causes.getStore() ?? null;

// A microtask queue is empty before an immediate runs, and an SDK has no other way to go on: its timers, its
// network and its channels are ours.
const realSetImmediate = setImmediate;
export const drain = () => new Promise(resolve => realSetImmediate(resolve));

// -- timers -----------------------------------------------------------------------------------------------

function setTimer(instance, callback, delay, repeats) {
  if (instance.failure) throw new DriverError(instance.failure); // which ends a loop of them
  const id = ++instance.lastTimer;
  const wait = Math.min(Math.max(repeats ? 1 : 0, Math.trunc(delay) || 0), LONGEST_DELAY);
  const timer = { callback, cause: cause(), every: repeats ? wait : null };
  instance.timers.set(id, timer);
  instance.emit('timer', id, instance.at + wait, timer.cause);
  return id; // a number, as in React Native and in browsers
}

function clearTimer(instance, id) {
  if (instance.timers.delete(id)) instance.emit('clear', id);
}

function fire(instance, id) {
  const timer = instance.timers.get(id);
  if (!timer) throw new DriverError(`timer ${id} is not live`);
  if (timer.every === null) instance.timers.delete(id);
  causes.run(timer.cause, () => {
    try {
      timer.callback();
    } catch (error) {
      instance.emit('threw', oneLine(error));
    }
  });
  const again = timer.every !== null && instance.timers.has(id);
  if (again) instance.emit('timer', id, instance.at + timer.every, timer.cause);
}

// -- the network ------------------------------------------------------------------------------------------

const textOf = body => (typeof body === 'string' || body instanceof URLSearchParams ? String(body) : null);

// `request` has `answer`, `lose` and `abort`, one of which is to be called. `boot` answers the requests of load(),
// which nobody else sees: [{request: "GET /path", status, headers, body}], the first that fits. One that is
// `without` a header is for requests in which that is missing or empty.
function send(instance, boot, target, init, request) {
  const method = String(init.method ?? 'GET');
  const { pathname, searchParams } = target instanceof URL ? target : new URL(target);
  const headers = new Headers(init.headers);
  if (instance.booting) {
    const asked = `${method} ${pathname}`;
    const found = boot.find(one => one.request === asked && !(one.without && headers.get(one.without)));
    if (found) request.answer(found);
    else instance.unanswered = asked;
    return;
  }
  if (++instance.sent > MOST_REQUESTS) {
    const storm = `one stimulus set off ${instance.sent} requests at one instant (${instance.at} ms)`;
    instance.fail(`${storm}: look for a loop in the SDK that asks again at once`);
    return; // nobody will ever answer: this ends the storm
  }
  const id = ++instance.lastRequest;
  const [query, sent] = [searchParams, headers].map(Object.fromEntries);
  const credentials = String(init.credentials ?? 'same-origin');
  instance.emit('request', id, method, pathname, query, sent, textOf(init.body), credentials, cause());
  instance.requests.set(id, request);
  init.signal?.addEventListener('abort', () => {
    if (instance.requests.delete(id)) request.abort(init.signal.reason);
  });
}

function answer(instance, { request: id, lost, ...reply }) {
  const request = instance.requests.get(id);
  if (!request) throw new DriverError(`request ${id} is not in flight`);
  instance.requests.delete(id);
  if (lost) request.lose();
  else request.answer(reply);
}

// The characters of all texts in it.
function sizeOf(value) {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, part]) => sum + name.length + sizeOf(part), 0);
}

// -- the instance -----------------------------------------------------------------------------------------

export class Instance {
  at = 0; // ms
  out = [];
  size = 0; // of all texts in it
  open = true;
  booting = false; // the requests of load() are answered here
  loaded = false; // load() has ended well
  unanswered = null; // the request of load() that has no answer
  failure = null; // why what it does is of no use, in one line
  page = null; // what is around an SDK in a browser (page.mjs)
  navigator = null; // where an SDK looks whether it is online
  stored = null; // what the page kept for the app's own server when it was last looked at
  sent = 0; // requests since the last stimulus
  timers = new Map();
  lastTimer = 0;
  requests = new Map();
  lastRequest = 0;
  device = {}; // what the SDK has left on the device: a glue's affair

  // An instance that has ended may still have promises under way; what they do is nobody's output.
  emit(...output) {
    if (!this.open || this.failure) return;
    this.size += sizeOf(output);
    if (this.out.length === MOST_OUTPUTS) {
      this.fail(`one stimulus set off more than ${MOST_OUTPUTS} outputs: look for a loop in the SDK`);
    } else if (this.size > MOST_TEXT) {
      this.fail(`one stimulus set off more than ${MOST_TEXT >> 20} MB of output: look for a request that is too long`);
    } else {
      this.out.push(output);
    }
  }

  fail(why) {
    this.failure ??= why;
  }

  // Evaluates the bundle and loads the SDK, for the first time on its device. Throws a DriverError.
  async boot(recipe) {
    this.booting = true;
    this.evaluate(recipe);
    let failure = 'load() does not settle: it waits for something other than the answers to its requests';
    this.sdk.load().then(
      () => (failure = null),
      error => (failure = `load() fails: ${oneLine(error)}`),
    );
    await drain();
    if (this.unanswered) failure = `load() sends ${this.unanswered}, which has no answer`;
    failure = this.failure ?? failure;
    if (failure) throw new DriverError(failure);
    if (!this.sdk.signedIn()) throw new DriverError('load() does not sign in');
    this.booting = false;
    this.loaded = true;
    this.active = this.token('activeToken');
    this.look();
  }

  // Evaluates the bundle: for the first time on its device, or `at` some ms in the place of `before`, whose process
  // has ended. Throws a DriverError.
  evaluate(recipe, before = null, at = 0) {
    const { glue, jsdom, epoch, runtime, credential, boot: answers } = recipe;
    this.glue = glue;
    this.at = at;
    if (before) {
      const { lastTimer, lastRequest, stored, device } = before;
      Object.assign(this, { lastTimer, lastRequest, stored, device });
    }
    const now = () => epoch + this.at;
    if (jsdom && glue.page) this.page = pageOf(jsdom, now, glue.page, runtime === 'frame', before?.page);
    const host = {
      now,
      elapsed: () => this.at,
      setTimer: (...timer) => setTimer(this, ...timer),
      clearTimer: id => clearTimer(this, id),
      send: (...request) => send(this, answers, ...request),
    };
    const globals = { ...this.page?.globals, ...glue.environment(runtime) };
    this.navigator = globals.navigator;
    if (typeof before?.navigator?.onLine === 'boolean') this.navigator.onLine = before.navigator.onLine;
    const realm = realmOf(host, globals);
    this.page?.enter(realm);
    const { fetch } = realm.global; // before the bundle can change it
    const exports = realm.exports(recipe.program);
    const require = stubs => requireIn(recipe.library, stubs, realm);
    const around = { require, credential, device: this.device, page: this.page, fetch };
    const announce = (held, name = null) =>
      this.loaded && (held ? this.emit('signed_in', cause(), name) : this.emit('signed_out', cause()));
    this.sdk = glue.create(exports, runtime, announce, around);
  }

  // The app loads the SDK. Whether anybody is signed in is said when that ends well for the first time.
  async load() {
    await this.sdk.load();
    if (this.loaded) return;
    this.loaded = true;
    const held = this.sdk.signedIn();
    if (held) this.emit('signed_in', cause(), held === true ? null : held);
    else this.emit('signed_out', cause());
  }

  // Lets a stimulus happen at its instant, until the SDK can do no more.
  async feed(stimulus) {
    this.at = stimulus.at;
    this.sent = 0;
    if (stimulus.do === 'fire') fire(this, stimulus.timer);
    else if (stimulus.do === 'answer') answer(this, stimulus);
    else if (stimulus.do === 'lock') this.sdk.lock?.(stimulus.locked);
    else if (stimulus.do === 'connect') this.connect(stimulus.online);
    else if (stimulus.do === 'turn') this.page.tab.turn(stimulus.state);
    else if (stimulus.do === 'hear') this.page.channel.hear(stimulus);
    else if (stimulus.do === 'hold') this.page.locks.hold(stimulus.held);
    else if (stimulus.do === 'disconnect') this.page.channel.close();
    else this.call(stimulus);
    await drain();
    this.sdk.check?.();
    const before = this.active;
    this.active = this.token('activeToken') ?? before;
    if (this.active !== before) this.emit('active', this.active, before);
    this.look();
    if (this.failure) throw new DriverError(this.failure);
  }

  // An SDK that looks sees it; only a page has somebody to listen for it.
  connect(online) {
    if (typeof this.navigator?.onLine === 'boolean') this.navigator.onLine = online;
    this.page?.announce(online ? 'online' : 'offline');
  }

  // What the page keeps for the app's own server, if that has changed.
  look() {
    const before = this.stored;
    this.stored = this.token('stored');
    if (this.stored !== before) this.emit('stored', this.stored);
  }

  // What the SDK shows as a token, if it shows one.
  token(where) {
    const token = this.sdk[where]?.() ?? null;
    if (token !== null && typeof token !== 'string') throw new DriverError(`the SDK's ${where} is no text`);
    return token;
  }

  call({ call, operation: name, arguments: given }) {
    const operations = { load: () => this.load(), ...this.sdk.operations };
    if (!Object.hasOwn(operations, name)) throw new DriverError(`the SDK has no operation '${name}'`);
    let pending = true;
    const settle = (value, error) => {
      if (pending) this.emit('settled', call, value, error);
      pending = false; // a promise of the SDK's own making may settle twice
    };
    const resolve = value => settle((typeof value === 'string' && value) || null, null);
    const reject = error => {
      if (error instanceof DriverError) this.fail(error.message);
      else settle(null, this.errorName(error));
    };
    try {
      const promise = causes.run(call, () => operations[name](given));
      if (typeof promise?.then === 'function') promise.then(resolve, reject);
      else resolve(promise);
    } catch (error) {
      reject(error);
    }
  }

  errorName(error) {
    try {
      return oneLine(this.glue.errorName(error));
    } catch {
      return oneLine(error);
    }
  }

  end() {
    this.open = false;
    this.page?.close();
  }

  take() {
    const { out } = this;
    Object.assign(this, { out: [], size: 0 });
    return out;
  }
}
