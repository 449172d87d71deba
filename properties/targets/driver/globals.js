// The globals of an instance that are more than a part of the language, made in the realm of the instance.
//
// realm.mjs evaluates this before the bundle. `host` is the driver's side: an instance (instance.mjs), and what is
// Node's. The bundle sees only what is made here. What is used later is taken now, before the bundle can change it.

host => {
  'use strict';
  const { Error, Promise, TypeError, Uint8Array } = globalThis;
  const { apply, construct } = Reflect;
  const { defineProperty, keys } = Object;
  const { parse } = JSON;

  const hidden = value => ({ value, writable: true, configurable: true, enumerable: false }); // as the real ones are
  const define = (target, values) => {
    for (const name of keys(values)) defineProperty(target, name, hidden(values[name]));
    return target;
  };

  // -- the clock ------------------------------------------------------------------------------------------

  const { Date: RealDate } = globalThis;
  function VirtualDate(...parts) {
    if (!new.target) return new RealDate(host.now()).toString();
    return construct(RealDate, parts.length ? parts : [host.now()], new.target);
  }
  Object.defineProperties(VirtualDate, Object.getOwnPropertyDescriptors(RealDate));
  define(VirtualDate, { now: () => host.now() });
  define(VirtualDate.prototype, { constructor: VirtualDate });

  // A format without a date is for now.
  const formats = Intl.DateTimeFormat.prototype;
  const { get } = Object.getOwnPropertyDescriptor(formats, 'format');
  const { formatToParts } = formats;
  defineProperty(formats, 'format', {
    configurable: true,
    get() {
      const format = apply(get, this, []);
      return (date = host.now()) => format(date);
    },
  });
  define(formats, {
    formatToParts(date = host.now()) {
      return apply(formatToParts, this, [date]);
    },
  });

  // -- timers ---------------------------------------------------------------------------------------------

  const setTimer = repeats => (callback, delay, ...args) => host.setTimer(() => callback(...args), delay, repeats);
  const setTimeout = setTimer(false);
  const clearTimeout = id => host.clearTimer(id);
  const timers = { setTimeout, setInterval: setTimer(true), clearTimeout, clearInterval: clearTimeout };

  // -- the network ----------------------------------------------------------------------------------------

  // Not a real Response: its body would be a stream, which takes more than microtasks to read.
  const response = ({ status, headers, body }) => ({
    ok: status >= 200 && status < 300,
    status,
    statusText: '',
    headers: new (web('Headers'))(headers),
    json: async () => parse(body),
    text: async () => body,
    clone: () => response({ status, headers, body }),
  });

  const fetch = (target, init) =>
    new Promise((resolve, reject) =>
      host.send(target, init ?? {}, {
        answer: reply => resolve(response(reply)),
        lose: () => reject(new TypeError('Network request failed')), // React Native's words
        abort: reject,
      }),
    );

  // -- the web's classes ----------------------------------------------------------------------------------

  // Node's, derived, so that a change to a prototype ends with this realm. What Node itself makes (the signal of an
  // AbortController, the searchParams of a URL) are instances of them, too.
  const isInstance = Function.prototype[Symbol.hasInstance];
  const derived = Base => {
    const Own = class extends Base {
      static [Symbol.hasInstance](value) {
        return apply(isInstance, this === Own ? Base : this, [value]);
      }
    };
    return define(Own, { name: Base.name });
  };
  const further = {
    __proto__: null,
    AbortSignal: Own =>
      define(Own, {
        timeout(delay) {
          const controller = new (web('AbortController'))();
          const reason = new (web('DOMException'))('The operation was aborted due to timeout', 'TimeoutError');
          setTimeout(() => controller.abort(reason), delay);
          return controller.signal;
        },
      }),
    Event: Own => defineProperty(Own.prototype, 'timeStamp', { configurable: true, get: () => host.elapsed() }),
    TextEncoder({ prototype }) {
      const { encode } = prototype;
      define(prototype, {
        encode(text) {
          return new Uint8Array(apply(encode, this, [text])); // Node's is no instance of this realm's Uint8Array
        },
      });
    },
  };

  // Most SDKs use few of them, and to derive them all takes longer than to load an SDK.
  const made = { __proto__: null };
  const web = name => {
    if (!made[name]) {
      made[name] = derived(host.classes[name]);
      further[name]?.(made[name]);
    }
    return made[name];
  };
  for (const name of keys(host.classes)) {
    defineProperty(globalThis, name, {
      configurable: true,
      get: () => define(globalThis, { [name]: web(name) })[name],
      set: value => define(globalThis, { [name]: value }),
    });
  }

  const functions = {};
  for (const name of keys(host.functions)) functions[name] = (...args) => host.functions[name](...args);

  // -- what a garbage collection would decide -------------------------------------------------------------

  class WeakRef {
    #target;
    constructor(target) {
      this.#target = target;
    }
    deref() {
      return this.#target;
    }
  }

  class FinalizationRegistry {
    register() {}
    unregister() {}
  }

  // -- all of it ------------------------------------------------------------------------------------------

  // These wait and work in threads of their own, or have a clock.
  for (const name of ['Atomics', 'SharedArrayBuffer', 'WebAssembly', 'Temporal']) delete globalThis[name];
  define(Math, { random: () => 0 }); // the least jitter, and always the same

  const log = host.log ? (...words) => host.log(...words) : () => {};
  define(globalThis, {
    ...functions,
    ...{ Date: VirtualDate, performance: { now: () => host.elapsed() }, WeakRef, FinalizationRegistry },
    ...timers,
    fetch,
    ...{ window: globalThis, self: globalThis, global: globalThis }, // as React Native
    console: new Proxy({}, { get: () => log }),
  });

  return {
    timers,
    global: globalThis,
    define: values => define(globalThis, values),
    module: () => ({ exports: {} }),
    missing: name => {
      throw new Error(`it requires '${name}', and a target has no node_modules`);
    },
  };
};
