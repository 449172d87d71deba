// What a page has around an SDK that Node has not: a document with cookies, storage, events, locks. No SDK's.
//
// It is jsdom's, as far as jsdom has it, made in Node's realm. A tab that is hidden, until the user turns to it.
// Nothing in it waits or draws at random.
//
// Without a Worker, as under a content security policy that forbids workers made of a blob. What it posts on a
// channel nobody hears: no other tab is here. What one would have told it is a command.

import crypto from 'node:crypto';

// The cookies of a page, or of a frame of another site: that neither sets nor sees any but those with `SameSite=None`,
// in a browser that does not refuse those, too. `Partitioned` ones are kept apart, also from others of the same name
// (CHIPS), and both are sent. One with a new value goes to the end, as in Chromium. They expire by the instance's clock:
// tough-cookie looks at the real one, and counts a Max-Age from there.
function cookieJar({ CookieJar, toughCookie: { Cookie, MemoryCookieStore, cookieCompare } }, frame) {
  class Store extends MemoryCookieStore {
    updateCookie(old, cookie, callback) {
      const { lastAccessed: creation } = cookie;
      if (old.value !== cookie.value) Object.assign(cookie, { creation, creationIndex: new Cookie().creationIndex });
      return super.updateCookie(old, cookie, callback);
    }
  }
  const partition = new CookieJar(new Store());
  const reaches = ({ sameSite, secure }) => !frame || (sameSite === 'none' && secure);
  return new (class extends CookieJar {
    writes = 0;
    now = null; // of the page that has it
    setCookie(text, url, options, callback) {
      const cookie = Cookie.parse(text, { loose: true });
      if (!cookie || !reaches(cookie)) return callback(null, undefined);
      this.writes++;
      if (typeof cookie.maxAge === 'number') {
        cookie.expires = new Date(this.now() + cookie.maxAge * 1000);
        cookie.maxAge = null;
      }
      const apart = cookie.extensions?.some(one => one.toLowerCase() === 'partitioned');
      const set = apart ? partition.setCookie.bind(partition) : super.setCookie.bind(this);
      return set(cookie, url, { ...options, now: new Date(this.now()) }, callback);
    }
    getCookies(url, options, callback) {
      const live = cookies => cookies.filter(cookie => (cookie.expiryTime() ?? Infinity) > this.now());
      const all = { ...options, expire: false };
      return super.getCookies(url, all, (error, own) =>
        partition.getCookies(url, all, (other, apart) =>
          callback(error ?? other, own && apart && live([...own, ...apart]).sort(cookieCompare)),
        ),
      );
    }
  })(new Store());
}

// The Web Locks API, for one page: exclusive, first come, first served; who aborts while it waits gives up. Another
// tab may hold every lock: it waits its turn for those that the page has.
class Locks {
  tails = new Map(); // by name, the end of whoever has asked last
  held = null; // what ends when the other tab gives them back
  free = null;

  hold(held) {
    if (!held) return this.free();
    this.held = new Promise(resolve => (this.free = () => ((this.held = null), resolve())));
    for (const name of this.tails.keys()) this.request(name, () => this.held);
  }

  async request(name, ...rest) {
    const callback = rest.pop();
    const { signal } = rest[0] ?? {};
    if (this.held && !this.tails.has(name)) this.tails.set(name, this.held);
    const before = this.tails.get(name);
    let release;
    this.tails.set(name, new Promise(resolve => (release = resolve)));
    try {
      if (signal?.aborted) throw signal.reason;
      if (before) await (signal ? Promise.race([before, aborted(signal)]) : before);
      return await callback({ name, mode: 'exclusive' });
    } finally {
      if (before) before.then(release);
      else release();
    }
  }
}

const aborted = signal =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

// The class of the page's channels, and what happens to all of them.
function channels() {
  const open = new Set();
  class Channel extends EventTarget {
    constructor(name) {
      super();
      this.name = name;
      open.add(this);
    }
    postMessage() {
      if (!open.has(this)) throw new DOMException('the channel is closed', 'InvalidStateError');
    }
    close() {
      open.delete(this);
    }
  }
  return {
    Channel,
    hear({ name, data }) {
      for (const one of open) if (one.name === name) one.dispatchEvent(new MessageEvent('message', { data }));
    },
    close: () => open.clear(),
  };
}

// What is around a page in a frame of another site: a page that it cannot look into.
const ABOVE = {
  get location() {
    throw new DOMException('a frame of another origin may not look', 'SecurityError');
  },
};

// The state of a document's tab, as the user turns to it and away: hidden, visible or focused.
function tabOf(window, before) {
  const { document } = window;
  let state = before ?? 'hidden';
  const shows = () => (state === 'hidden' ? 'hidden' : 'visible');
  const tell = (on, name) => on.dispatchEvent(new window.Event(name));
  const define = (name, descriptor) => Object.defineProperty(document, name, descriptor);
  define('hasFocus', { value: () => state === 'focused' });
  define('visibilityState', { get: shows });
  define('hidden', { get: () => state === 'hidden' });
  return {
    state: () => state,
    turn(to) {
      const [focused, shown] = [state === 'focused', shows()];
      state = to;
      if (focused) tell(window, 'blur');
      if (shown !== shows()) tell(document, 'visibilitychange');
      if (state === 'focused') tell(window, 'focus');
    },
  };
}

const digest = async (algorithm, data) => {
  const name = (algorithm.name ?? algorithm).replace('-', '').toLowerCase();
  return new Uint8Array(crypto.createHash(name).update(data).digest()).buffer;
};

const METHODS = ['addEventListener', 'removeEventListener', 'dispatchEvent'];
const CLASSES = ['Event', 'CustomEvent', 'MessageEvent', 'EventTarget', 'Node', 'Element', 'HTMLElement'];

const REAL = ['performance', 'XMLHttpRequest', 'WebSocket']; // with a clock or a network that is not ours

// A page of its own at `url`: its globals, and what can be asked of it. `cookies` are there before the SDK is. Loaded
// anew, in the place of `before`, it has what that has left: cookies, and storage of both kinds. In a frame it is in
// one of another site.
export function pageOf(jsdom, now, { url, cookies }, frame, before = null) {
  const jar = before?.jar ?? cookieJar(jsdom, frame);
  jar.now = now;
  const { window } = new jsdom.JSDOM('', { url, cookieJar: jar });
  for (const name of REAL) delete window[name];
  delete window.Document.prototype.lastModified; // by the real clock, as is what events have
  const loaded = now();
  Object.defineProperty(window.Event.prototype, 'timeStamp', { get: () => now() - loaded });
  const { document } = window;
  if (!before) for (const cookie of cookies) document.cookie = cookie;
  const { localStorage, sessionStorage } = window;
  const storage = { localStorage, sessionStorage };
  for (const name of before ? Object.keys(storage) : []) {
    for (const [key, value] of Object.entries(before.storage[name])) storage[name].setItem(key, value);
  }

  const seen = { writes: 0, name: null, value: null }; // to read a cookie costs more than most timers do
  const cookie = name => {
    if (seen.writes !== jar.writes || seen.name !== name) {
      const found = jar.getCookiesSync(url).find(({ key }) => key === name); // as servers do, the first
      Object.assign(seen, { writes: jar.writes, name, value: found?.value || null });
    }
    return seen.value;
  };

  const locks = new Locks();
  if (before?.locks.held) locks.hold(true);
  const tab = tabOf(window, before?.tab.state());
  const { Channel, ...channel } = channels();
  const navigator = { onLine: true, userAgent: USER_AGENT, language: 'en-US', locks };

  const own = {};
  for (const name of METHODS) own[name] = window[name].bind(window);
  for (const name of CLASSES) own[name] = window[name];
  return {
    globals: {
      ...own,
      ...{ document, location: window.location, history: window.history, isSecureContext: true, opener: null },
      ...{ localStorage, sessionStorage, BroadcastChannel: Channel },
      crypto: { subtle: { digest }, getRandomValues: array => array.fill(0), randomUUID: () => UUID },
      navigator,
    },
    jar,
    storage,
    cookie,
    tab,
    channel,
    locks,
    // What is around the SDK whose realm this is.
    enter({ timers, global, define }) {
      Object.assign(window, timers);
      define(frame ? { top: ABOVE, parent: ABOVE } : { top: global, parent: global });
    },
    announce: name => window.dispatchEvent(new window.Event(name)),
    close: () => window.close(),
  };
}

const UUID = '00000000-0000-4000-8000-000000000000'; // always the same
const USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
