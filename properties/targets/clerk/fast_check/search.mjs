// The search for one finding by fast-check, in one Node process: what its users would write, for comparison.
//
// The bundle, how it is started, and the instance of the SDK around it are those of the driver. The world is written
// here once more, for sign-outs and the assumptions in OUTCOMES, and with the alphabet of our own search: the same
// calls, lengths of time and outcomes. What is read on stdin is written by fast_check.py. For each seed, a line:
//
//   {"traces": until the first violation, "steps": in them, "first": s, "shrunk": s, "length": commands, or null}

import fs from 'node:fs';
import { createRequire } from 'node:module';
import v8 from 'node:v8';
import vm from 'node:vm';

import { Instance } from '../../driver/instance.mjs';
import { library } from '../../driver/modules.mjs';
import { compile } from '../../driver/realm.mjs';

const config = JSON.parse(fs.readFileSync(0, 'utf8'));
const fc = createRequire(`${config.packages}/`)('fast-check');
const { assume, replies, timings } = config;
const recipe = {
  ...config.recipe,
  program: compile(fs.readFileSync(config.bundle, 'utf8'), config.bundle),
  library: library({}, null),
  glue: await import(config.glue),
};

// As tuned as our own driver (loop.mjs).
if (parseInt(process.versions.node) < 22) v8.setFlagsFromString('--interrupt-budget=2000000');
v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');
let instances = 0;
process.on('unhandledRejection', () => {});

// -- the world --------------------------------------------------------------------------------------------

class SignedOut extends Error {}

const encoded = part => Buffer.from(JSON.stringify(part)).toString('base64url');
const FAILURES = ['broken', 'rate-limited', 'gateway-page', 'lost'];
const OUTCOMES = {
  'calm': () => [],
  'starvation': () => [],
  'locked-keychain': () => [],
  'stale-after-expiry': (world, request) => (request.stale && world.isBackground(request) ? [request.refusal] : []),
  'stale-for-good': (world, request) => (request.stale ? [request.refusal] : []),
  'stale-on-arrival': (world, request) => (world.stale && world.isBackground(request) ? [request.refusal] : []),
  'rotated-credential': (world, request) => [request.refusal],
  'outage': () => FAILURES,
};
const mayFreeze = assume.includes('starvation');
const mayHang = assume.includes('outage');
const mayLock = assume.includes('locked-keychain');

class World {
  now = 0; // ms
  timers = new Map(); // when each is due
  requests = new Map();
  calls = new Set(); // pending
  lastCall = 0;
  tokens = 1;
  expires = timings.lifetime * 1000; // of the last session token
  organization = null;
  signedIn = true;
  locked = false;
  steps = 0;

  async start() {
    if (++instances % 15 === 0) gc();
    this.instance = new Instance();
    await this.instance.boot(recipe);
    this.absorb();
    return this;
  }

  get stale() {
    return this.now > this.expires;
  }

  isBackground({ cause }) {
    return !this.calls.has(cause);
  }

  absorb() {
    for (const [kind, ...output] of this.instance.take()) {
      const [id, due] = output;
      if (kind === 'timer') this.timers.set(id, due);
      else if (kind === 'clear') this.timers.delete(id);
      else if (kind === 'settled') this.calls.delete(id);
      else if (kind === 'request') this.requests.set(id, this.sent(...output));
      else if (kind === 'signed_out') this.signOut(id);
    }
  }

  sent(id, method, path, query, headers, body, cause) {
    const form = new URLSearchParams(body ?? '');
    const endpoint = path.endsWith('/client') ? 'introspect' : path.endsWith('/touch') ? 'mutate' : 'mint';
    const [, template] = path.split('/tokens/');
    const organization = form.get('organization_id') || form.get('active_organization_id') || null;
    const honest = endpoint === 'mint' ? 'granted' : 'session';
    const refusal = endpoint === 'introspect' ? 'no-session' : 'unauthorized';
    const bare = this.locked;
    return { endpoint, template, organization, honest, refusal, cause, bare, stale: this.stale, at: this.now };
  }

  // A sign-out of a session that is valid: of `config.background`, only those that a timer began.
  signOut(cause) {
    this.signedIn = false;
    if (!config.background || !this.calls.has(cause)) throw new SignedOut();
  }

  async feed(stimulus) {
    await this.instance.feed({ at: this.now, ...stimulus });
    this.absorb();
  }

  // Runs every timer that is due by `until`, at its instant or, after a freeze, now.
  async runTimers(until, late = false) {
    for (;;) {
      const due = [...this.timers].filter(([, at]) => at <= until).sort(([a, x], [b, y]) => x - y || a - b)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      if (!late) this.now = due[1];
      await this.feed({ do: 'fire', timer: due[0] });
    }
    this.now = until;
  }

  get lifeLeft() {
    return timings.session - 1 - this.now;
  }

  // Unless requests may hang, the server answers each within its patience.
  get longestAdvance() {
    if (mayHang) return this.lifeLeft;
    const pending = [...this.requests.values()].map(request => request.at);
    return Math.min(this.lifeLeft, Math.min(...pending, ...this.timers.values()) + timings.patience - this.now);
  }

  outcomes(request) {
    const faults = assume.flatMap(name => OUTCOMES[name](this, request));
    if (request.bare) return [request.refusal, ...faults.filter(outcome => FAILURES.includes(outcome))];
    return [request.honest, ...faults, ...faults]; // faults more often, as in our own search
  }

  reply(request, outcome) {
    const { status, headers, body } = replies[request.endpoint][outcome];
    if (!body.includes('%jwt%')) return { status, headers, body };
    const { endpoint, template } = request;
    if (endpoint === 'mutate') this.organization = request.organization;
    const organization = endpoint === 'introspect' ? this.organization : request.organization;
    const iat = Math.floor(this.now / 1000) + config.recipe.epoch / 1000;
    const whose = template ? { template } : { sid: 'sess_1' };
    const claims = { iss: 'https://clerk.test', sub: 'user_1', iat, nbf: iat - 10, exp: iat + timings.lifetime, ...whose };
    const tenant = organization ? { org_id: organization, org_role: 'org:member' } : {};
    const jti = String(++this.tokens);
    const jwt = [{ alg: 'RS256', typ: 'JWT', oiat: iat }, { ...claims, ...tenant, jti }, 'x'].map(encoded).join('.');
    if (!template) this.expires = Math.floor(this.now / 1000) * 1000 + timings.lifetime * 1000;
    const filled = body.replaceAll('%jwt%', jwt).replaceAll('"%organization%"', JSON.stringify(organization));
    return { status, headers, body: filled };
  }
}

// -- the commands -----------------------------------------------------------------------------------------

const command = (text, check, run) => ({
  check,
  run: async world => {
    world.steps++;
    await run(world);
  },
  toString: () => text,
});

const nextTimer = world => Math.min(...world.timers.values()) - world.now;
const advance = ms => {
  const length = world => (ms === null ? nextTimer(world) : ms);
  const fits = world => length(world) > 0 && length(world) <= world.longestAdvance;
  return command(`advance(${ms ?? 'to the next timer'})`, fits, world => world.runTimers(world.now + length(world)));
};
const freeze = (ms, asleep) =>
  command(
    `${asleep ? 'sleep' : 'freeze'}(${ms})`,
    world => ms <= world.lifeLeft,
    async world => {
      world.now += ms;
      if (asleep) world.timers.forEach((due, id) => world.timers.set(id, due + ms));
      else await world.runTimers(world.now, true);
    },
  );
const call = ({ operation, given }) =>
  command(
    `${operation}(${JSON.stringify(given)})`,
    world => world.signedIn && world.calls.size < 3,
    world => {
      world.calls.add(++world.lastCall);
      return world.feed({ do: 'call', call: world.lastCall, operation, arguments: given });
    },
  );
const answer = (which, how) =>
  command(
    `answer(${which}, ${how})`,
    world => world.requests.size > 0,
    world => {
      const [id, request] = [...world.requests][which % world.requests.size];
      const outcomes = world.outcomes(request);
      const outcome = outcomes[how % outcomes.length];
      world.requests.delete(id);
      if (outcome === 'lost') return world.feed({ do: 'answer', request: id, lost: true });
      return world.feed({ do: 'answer', request: id, ...world.reply(request, outcome) });
    },
  );
const lock = locked =>
  command(
    locked ? 'lock' : 'unlock',
    world => world.locked !== locked,
    world => {
      world.locked = locked;
      return world.feed({ do: 'lock', locked });
    },
  );

const anyLength = fc.integer({ min: 1, max: 7_200_000 });
const passing = [
  { weight: 8, arbitrary: fc.constant(null) },
  { weight: config.lengths.length, arbitrary: fc.constantFrom(...config.lengths) },
  { weight: 1, arbitrary: anyLength },
];
const alphabet = [
  fc.oneof(...passing).map(advance),
  fc.tuple(fc.nat(2), fc.nat(11)).map(([which, how]) => answer(which, how)),
  fc.constantFrom(...config.calls).map(call),
];
if (mayFreeze) {
  const length = fc.oneof(fc.constantFrom(...config.freezes), anyLength);
  alphabet.push(fc.tuple(length, fc.boolean()).map(([ms, asleep]) => freeze(ms, asleep)));
}
if (mayLock) alphabet.push(fc.constant(lock(true)), fc.constant(lock(false)));

// -- the search -------------------------------------------------------------------------------------------

const seconds = since => (performance.now() - since) / 1000;

async function search(seed) {
  let [steps, first] = [0, null];
  const began = performance.now();
  const property = fc.asyncProperty(fc.commands(alphabet, config.commands), async commands => {
    const searching = first === null;
    const world = await new World().start();
    try {
      await fc.asyncModelRun(() => ({ model: world, real: world }), commands);
    } catch (error) {
      if (!(error instanceof SignedOut)) throw error;
      first ??= seconds(began);
      throw error;
    } finally {
      world.instance.end();
      if (searching) steps += world.steps;
    }
  });
  const done = await fc.check(property, { seed, numRuns: config.traces });
  if (done.failed && !(done.errorInstance instanceof SignedOut)) throw done.errorInstance ?? new Error(done.error);
  const length = done.failed ? done.counterexample[0].commands.filter(one => one.hasRan).length : null;
  return { traces: done.numRuns, steps, first, shrunk: seconds(began), length };
}

console.log(JSON.stringify(await search(0))); // the first one warms up, and is not counted
for (const seed of config.seeds) console.log(JSON.stringify(await search(seed)));
