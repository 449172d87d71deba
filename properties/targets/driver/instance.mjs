// One instance of an SDK: a bundle evaluated afresh, with a clock, timers, a network and globals of its own.
//
// It knows no SDK: what one is called, exports and needs around it is the glue's part. It reads no commands: that
// is loop.mjs. An instance never acts by itself; it says what it wants:
//
//   ["timer", id, due, cause]   ["clear", id]   ["request", id, method, path, query, headers, body|null, cause]
//   ["signed_out", cause]       ["active", token, before]      ["settled", call, value|null, error|null]
//   ["signed_in", cause]        (what it had dropped it holds again)
//   ["threw", message]          ["storm", count]               ["stored", value|null]
//
// An instant is in ms since the instance began. A cause is the call of the app in whose course something
// happened, or null: kept when a timer is set, restored when it fires; promises carry it by themselves.
// A request's query and headers are objects of strings, the names of headers in lower case; its body is the text.
//
// A glue module exports
//
//   environment(runtime)   the globals by which the SDK learns where it runs
//   create(exports, runtime, announce, around)   an SDK that is evaluated and not loaded. `announce(held)` is to be
//                          called the moment its session is dropped, or taken up again, and has no effect while it
//                          loads. `around` has `require` (modules.mjs), `credential`, `device` (what outlives a
//                          restart) and `page` (page.mjs)
//   errorName(error)       a short name that stays the same from build to build: `api-STATUS` for what the server has
//                          answered, `offline` for an error that says that the device is offline
//   page                   {url, cookies} to begin a page with, for an SDK that runs on one
//
// What `create` returns has `load()`, which may send requests; `signedIn()`; and `operations`, which an app calls, by
// name: each takes an object of arguments and returns a promise, of a token or of nothing. Where there is such a
// thing: `activeToken()`, the token that the app sees without asking; `stored()`, what a page keeps of the session
// for the app's own server; `lock(locked)`, for a store that can be locked; and `check()`, which throws when what
// the glue was told and what the SDK holds differ.

import { AsyncLocalStorage } from 'node:async_hooks';
import vm from 'node:vm';

import { DriverError, oneLine } from './errors.mjs';
import { requireIn } from './modules.mjs';
import { NAMES, pageOf } from './page.mjs';

const REQUESTS_PER_STIMULUS = 200; // beyond this, one stimulus has set off a storm

const causes = new AsyncLocalStorage();
const cause = () => causes.getStore() ?? null;

// A microtask queue is empty before an immediate runs, and an SDK has no other way to go on: its timers, its
// network and its channels are ours.
const realSetImmediate = setImmediate;
export const drain = () => new Promise(resolve => realSetImmediate(resolve));

// -- clock and timers -------------------------------------------------------------------------------------

function clockOf(instance, epoch) {
  const now = () => epoch + instance.at;
  class VirtualDate extends Date {
    constructor(...parts) {
      super(...(parts.length ? parts : [now()]));
    }
    static now = now;
  }

  const arm = (callback, delay, args, repeats) => {
    const id = ++instance.lastTimer;
    const wait = Math.max(repeats ? 1 : 0, Math.trunc(delay) || 0);
    const timer = { callback, args, cause: cause(), every: repeats ? wait : null };
    instance.timers.set(id, timer);
    instance.emit('timer', id, instance.at + wait, timer.cause);
    return id; // a number, as in React Native and in browsers
  };
  const clear = id => void (instance.timers.delete(id) && instance.emit('clear', id));

  return {
    Date: VirtualDate,
    setTimeout: (callback, delay, ...args) => arm(callback, delay, args, false),
    setInterval: (callback, delay, ...args) => arm(callback, delay, args, true),
    clearTimeout: clear,
    clearInterval: clear,
  };
}

function fire(instance, id) {
  const timer = instance.timers.get(id);
  if (!timer) throw new DriverError(`timer ${id} is not live`);
  if (timer.every === null) instance.timers.delete(id);
  causes.run(timer.cause, () => {
    try {
      timer.callback(...timer.args);
    } catch (error) {
      instance.emit('threw', oneLine(error));
    }
  });
  const again = timer.every !== null && instance.timers.has(id);
  if (again) instance.emit('timer', id, instance.at + timer.every, timer.cause);
}

// -- network ----------------------------------------------------------------------------------------------

// Not a real Response: its body would be a stream, which takes more than microtasks to read.
function response({ status, headers, body }) {
  return {
    ok: status >= 200 && status < 300,
    status,
    statusText: '',
    headers: new Headers(headers),
    json: async () => JSON.parse(body),
    text: async () => body,
    clone: () => response({ status, headers, body }),
  };
}

const textOf = body => (typeof body === 'string' || body instanceof URLSearchParams ? String(body) : null);

// `boot` answers the requests of load(), which nobody else sees: [{request: "GET /path", status, headers, body}], the
// first that fits. One that is `without` a header is for requests in which that is missing or empty.
function networkOf(instance, boot) {
  return (target, init = {}) => {
    const method = init.method ?? 'GET';
    const { pathname, searchParams } = target instanceof URL ? target : new URL(target);
    const headers = new Headers(init.headers);
    if (instance.booting) {
      const request = `${method} ${pathname}`;
      const fits = one => one.request === request && !(one.without && headers.get(one.without));
      const found = boot.find(fits);
      if (found) return Promise.resolve(response(found));
      instance.unanswered = request;
      return new Promise(() => {});
    }
    if (++instance.sent > REQUESTS_PER_STIMULUS) {
      if (instance.sent === REQUESTS_PER_STIMULUS + 1) instance.emit('storm', instance.sent);
      return new Promise(() => {}); // nobody will ever answer: this ends the storm
    }
    const id = ++instance.lastRequest;
    const [query, sent] = [searchParams, headers].map(Object.fromEntries);
    instance.emit('request', id, method, pathname, query, sent, textOf(init.body), cause());
    return new Promise((resolve, reject) => {
      instance.requests.set(id, { resolve, reject });
      const abort = () => instance.requests.delete(id) && reject(init.signal.reason);
      init.signal?.addEventListener('abort', abort);
    });
  };
}

function answer(instance, { request: id, lost, ...reply }) {
  const request = instance.requests.get(id);
  if (!request) throw new DriverError(`request ${id} is not in flight`);
  instance.requests.delete(id);
  if (lost) request.reject(new TypeError('Network request failed')); // React Native's words
  else request.resolve(response(reply));
}

// -- isolation --------------------------------------------------------------------------------------------

// Names that Node has and the place an SDK believes it runs in has not, or has otherwise. The bundle is
// compiled as a function with these parameters, so that neither its free names nor its properties of the
// global object reach the real ones. Everything else (URL, Headers, Promise, ...) it inherits.
const SHADOWED = [
  ...['globalThis', 'window', 'self', 'global', 'navigator', 'location', 'document', 'fetch', 'console'],
  ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
  ...['Date', 'Math', 'performance', 'crypto', 'process', 'Buffer', 'localStorage', 'sessionStorage'],
  ...['BroadcastChannel', 'MessageChannel', 'Worker', 'WebSocket', 'EventSource', 'XMLHttpRequest'],
];

const quiet = new Proxy({}, { get: () => () => {} });
const loud = new Proxy({}, { get: () => console.error }); // stdout is the protocol's

const namesOf = ({ jsdom }) => (jsdom ? [...SHADOWED, ...NAMES] : SHADOWED);

// A bundle as a function of its surroundings. Compiled once, called for each instance.
export function compile(source, filename, recipe) {
  const parameters = ['module', 'exports', 'require', ...namesOf(recipe)];
  try {
    return new vm.Script(`(function(${parameters}){${source}\n})`, { filename }).runInThisContext();
  } catch (error) {
    throw new DriverError(`the bundle throws while loading: ${error.name}: ${oneLine(error)}`);
  }
}

function sandboxOf(instance, { epoch, glue, runtime, boot: answers }) {
  const own = {
    ...Object.fromEntries(SHADOWED.map(name => [name, undefined])),
    ...clockOf(instance, epoch),
    ...instance.page?.globals,
    ...glue.environment(runtime),
    fetch: networkOf(instance, answers),
    Math: Object.create(Math, { random: { value: () => 0 } }), // the least jitter, and always the same
    performance: { now: () => instance.at },
    console: process.env.SESSIONPROOF_DRIVER_DEBUG ? loud : quiet,
  };
  // Defined, not assigned: some of the real ones are getters that refuse.
  const sandbox = Object.create(globalThis, Object.getOwnPropertyDescriptors(own));
  instance.navigator = own.navigator;
  for (const name of ['globalThis', 'window', 'self', 'global']) sandbox[name] = sandbox; // as React Native
  if (instance.page) sandbox.top = sandbox.parent = sandbox; // in no frame
  return sandbox;
}

// SDKs keep state in module singletons and static sets, so each instance evaluates its code anew. Returns what
// the bundle exports, and what requires a module of the recipe's packages, with the glue's stubs in place.
function evaluate(instance, recipe) {
  const sandbox = sandboxOf(instance, recipe);
  const surroundings = namesOf(recipe).map(name => sandbox[name]);
  const run = (program, module, require) => program(module, module.exports, require, ...surroundings);
  const module = { exports: {} };
  const alone = name => {
    throw new Error(`it requires '${name}', and a target has no node_modules`);
  };
  try {
    run(recipe.program, module, alone);
  } catch (error) {
    throw new DriverError(`the bundle throws while loading: ${error?.name ?? 'Error'}: ${oneLine(error)}`);
  }
  const require = stubs => requireIn(recipe.library, stubs, run);
  return { exports: module.exports, require };
}

// -- the instance -----------------------------------------------------------------------------------------

export class Instance {
  at = 0; // ms
  out = [];
  open = true;
  booting = true;
  unanswered = null; // the request of load() that has no answer
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
  emit = (...output) => this.open && this.out.push(output);

  // Evaluates the bundle and loads the SDK: for the first time on its device, or `at` some ms in the place of
  // `before`, whose process has ended. Throws a DriverError.
  async boot(recipe, before = null, at = 0) {
    const { glue, jsdom, epoch, runtime, credential } = recipe;
    this.glue = glue;
    this.at = at;
    if (before) {
      const { lastTimer, lastRequest, stored, device } = before;
      Object.assign(this, { lastTimer, lastRequest, stored, device });
    }
    if (jsdom && glue.page) this.page = pageOf(jsdom, () => epoch + this.at, glue.page, before?.page);
    const { exports, require } = evaluate(this, recipe);
    const { device, page } = this;
    const announce = held => this.booting || this.emit(held ? 'signed_in' : 'signed_out', cause());
    this.sdk = glue.create(exports, runtime, announce, { require, credential, device, page });
    let failure = 'load() does not settle';
    this.sdk.load().then(
      () => (failure = null),
      error => (failure = `load() fails: ${oneLine(error)}`),
    );
    await drain();
    if (this.unanswered) failure = `load() sends ${this.unanswered}, which has no answer`;
    if (failure) throw new DriverError(failure);
    this.active = this.sdk.activeToken?.() ?? null;
    if (before && this.active) this.emit('active', this.active, null);
    if (!this.sdk.signedIn()) {
      if (!before) throw new DriverError('load() does not sign in');
      this.emit('signed_out', null);
    }
    this.look();
    this.booting = false;
  }

  // Lets a stimulus happen at its instant, until the SDK can do no more.
  async feed(stimulus) {
    this.at = stimulus.at;
    this.sent = 0;
    if (stimulus.do === 'fire') fire(this, stimulus.timer);
    else if (stimulus.do === 'answer') answer(this, stimulus);
    else if (stimulus.do === 'lock') this.sdk.lock?.(stimulus.locked);
    else if (stimulus.do === 'connect') this.connect(stimulus.online);
    else this.call(stimulus);
    await drain();
    this.sdk.check?.();
    const before = this.active;
    this.active = this.sdk.activeToken?.() ?? before;
    if (this.active !== before) this.emit('active', this.active, before);
    this.look();
  }

  // An SDK that looks sees it; only a page has somebody to listen for it.
  connect(online) {
    if (typeof this.navigator?.onLine === 'boolean') this.navigator.onLine = online;
    this.page?.announce(online ? 'online' : 'offline');
  }

  // What the page keeps for the app's own server, if that has changed.
  look() {
    const before = this.stored;
    this.stored = this.sdk.stored?.() ?? null;
    if (this.stored !== before) this.emit('stored', this.stored);
  }

  call({ call, operation: name, arguments: given }) {
    const { operations } = this.sdk;
    if (!Object.hasOwn(operations, name)) throw new DriverError(`the SDK has no operation '${name}'`);
    causes.run(call, () => operations[name](given)).then(
      value => this.emit('settled', call, (typeof value === 'string' && value) || null, null),
      error => this.emit('settled', call, null, this.glue.errorName(error)),
    );
  }

  end() {
    this.open = false;
    this.page?.close();
  }

  take() {
    const { out } = this;
    this.out = [];
    return out;
  }
}
