// The soak: a large number of exchanges through the built Worker in the real runtime, while keys rotate, policies
// change, installations come and go, and a part of all calls fails. Every single answer must be explained, see
// `oracle.mjs`. Time is simulated: it advances a little with every exchange and jumps between batches, so that every
// cache of an hour expires many times within minutes. What an exchange does depends only on SEED and its number; how
// exchanges interleave does not.

import { createHmac, generateKeyPairSync } from 'node:crypto';

import { Fleet } from './fleet.mjs';
import { APP_ID, GitHub } from './github.mjs';
import { Internet } from './internet.mjs';
import { DISALLOWED, Issuer } from './issuers.mjs';
import { Oracle } from './oracle.mjs';
import { chance } from './random.mjs';
import { World } from './world.mjs';

const DOMAIN = 'sts.example.com';
const ISOLATES = 3;
/** The share of each isolate: one often lacks what another remembers. */
const SHARES = { 0: 6, 1: 3, 2: 1 };
const CALLERS = 32;
const BATCH = 1000;
const CHANGE_EVERY = 40;
const ROTATE_EVERY = 700;
const KV_FAULTS = 0.01;
/** Between two exchanges, on average. */
const STEP = 60;
/** Between two batches, in seconds, by weight. */
const GAPS = { 0: 8, 20: 2, 45: 2, 120: 2, 360: 3, 960: 2, 1860: 1, 4200: 1 };
/** Tokens by kind and weight. */
const TOKENS = { valid: 86, 'other-branch': 6, expired: 2, 'unknown-key': 0.5, 'bad-signature': 1.5, disallowed: 1, malformed: 1, 'removed-key': 1.5, 'other-audience': 1 };

/** The last quarter's memory divided by the second quarter's. The runtime's own includes uncollected garbage. */
const MOST_GROWTH = { wasm: 1.3, runtime: 2 };

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export class Soak {
  clock = { now: Date.now() };
  events = {};
  kv = {};
  memory = [];
  deliveries = 0;

  #webhookSecret = 'the secret of the soak';
  #asking = new Map();
  #told = new Set();

  static async start({ seed }) {
    const soak = new Soak();
    soak.seed = seed;
    soak.issuers = await Issuer.all(soak.clock);
    soak.world = new World(soak.clock, soak.issuers, seed);
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    soak.github = new GitHub(soak.clock, soak.world, publicKey);
    const exchangeOf = (id) => soak.#asking.get(id);
    soak.internet = await Internet.open({ clock: soak.clock, github: soak.github, issuers: soak.issuers, seed, exchangeOf });
    soak.fleet = await Fleet.start({
      isolates: ISOLATES,
      outbound: soak.internet.address,
      bindings: {
        DOMAIN,
        GITHUB_APP_ID: String(APP_ID),
        GITHUB_APP_PRIVATE_KEY: privateKey.export({ type: 'pkcs1', format: 'pem' }),
        GITHUB_WEBHOOK_SECRET: soak.#webhookSecret,
        ALLOWED_ISSUERS: soak.issuers.map(({ url }) => url).join(','),
      },
    });
    soak.oracle = new Oracle();
    return soak;
  }

  async stop() {
    await this.fleet.stop();
    await this.internet.close();
  }

  /** `count` exchanges; `progress(done)` after every batch. Stops early if answers are not explained. */
  async run(count, progress = () => {}) {
    for (let done = 0; done < count && this.oracle.unexplained.length < 20; ) {
      const random = chance(this.seed, 3, done);
      const hosts = this.issuers.map(({ host }) => host);
      // An occasional outage: only then are very stale copies used.
      this.internet.outage = { what: random.weighted({ none: 8, file: 1, issuer: 1 }), rate: 0.5 };
      if (this.internet.outage.what === 'issuer') this.internet.outage = { what: random.of(hosts), rate: 0.9 };
      const size = Math.min(BATCH, count - done);
      await this.#batch(done, size);
      done += size;
      this.memory.push(this.fleet.memory());
      this.clock.now += Number(random.weighted(GAPS)) * 1000;
      progress(done);
    }
  }

  /** This many exchanges, from several callers at once; then everything is quiet, and every answer is judged. */
  async #batch(first, size) {
    const ended = [];
    let next = first;
    const caller = async () => {
      while (next < first + size) {
        const index = next;
        next += 1;
        const random = chance(this.seed, 4, index);
        if (index % CHANGE_EVERY === CHANGE_EVERY - 1) this.#change(random);
        if (index % ROTATE_EVERY === ROTATE_EVERY - 1) await this.#rotate(random);
        ended.push(await this.#exchange(index, random));
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    while (this.#told.size > 0) await Promise.all(this.#told);
    this.oracle.judge(ended.sort((one, other) => one.start - other.start));
    this.#settleLedger();
  }

  #count(kind) {
    this.events[kind] = (this.events[kind] ?? 0) + 1;
  }

  async #rotate(random) {
    const overlaps = random.happens(0.7);
    await random.of(this.issuers).rotate({ overlaps });
    this.#count(overlaps ? 'keys rotated' : 'keys withdrawn at once');
  }

  /** Something changes, and half of the time GitHub delivers it. */
  #change(random) {
    const change = this.world.change(random);
    const isTold = random.happens(0.5);
    const { ended, event } = change;
    const kind = event === 'push' ? (ended.issuers || ended.mode ? 'list' : 'policy') : 'installation';
    this.#count(`${kind} changed${isTold ? ', told' : ''}`);
    if (!isTold) return;
    const work = this.#deliver(change, random.below(ISOLATES)).finally(() => this.#told.delete(work));
    this.#told.add(work);
  }

  /**
   * GitHub's delivery, again until it was taken. It comes when those have ended who may have read what was before the change:
   * who writes to KV after it was told to forget undoes that, for five minutes at most; nothing on the platform prevents it.
   */
  async #deliver({ owner, event, payload, ended }, isolate) {
    await Promise.all([...this.#asking.values()].filter((one) => one.owner === owner.login).map(({ whole }) => whole));
    const body = JSON.stringify(payload);
    const signature = createHmac('sha256', this.#webhookSecret).update(body).digest('hex');
    const number = (this.deliveries += 1);
    // An installation that was suspended or replaced meanwhile has no token to check with, so GitHub gives up, too.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const id = `delivery-${number}-${attempt}`;
      const index = 1_000_000_000 + number * 5 + attempt;
      const delivery = { id, index, start: this.#tick(), calls: [], isDelivery: true };
      const random = chance(this.seed, 5, index);
      this.#asking.set(id, delivery);
      const headers = { 'content-type': 'application/json', 'user-agent': 'GitHub-Hookshot/soak', 'x-github-event': event, 'x-github-delivery': `soak-${number}`, 'x-hub-signature-256': `sha256=${signature}` };
      const failingKv = random.happens(KV_FAULTS) ? random.below(6) : undefined;
      const { answer, kv } = await this.fleet.ask(isolate, { id, now: delivery.start, failingKv }, { method: 'POST', path: '/webhook', headers, body });
      this.#asking.delete(id);
      this.#countKv(kv);
      if (answer.status < 300) {
        ended.toldAt = this.clock.now;
        return;
      }
      if (answer.status < 500) throw new Error(`a delivery was refused: ${JSON.stringify(answer.body)}`);
    }
    this.#count('deliveries given up');
  }

  #tick() {
    this.clock.now += 1;
    return this.clock.now;
  }

  #countKv(operations) {
    for (const [operation, , how] of operations) {
      const name = how === 'fault' ? `${operation} failed by injection` : operation;
      this.kv[name] = (this.kv[name] ?? 0) + 1;
    }
  }

  async #exchange(index, random) {
    this.clock.now += Math.ceil(-Math.log(1 - random.next()) * STEP);
    const exchange = { id: `exchange-${index}`, index, calls: [], ledger: this.github.ledger, isolate: Number(random.weighted(SHARES)), ...this.#question(random) };
    const credential = this.#token(exchange, random);
    const isGet = random.happens(0.3);
    const failingKv = random.happens(KV_FAULTS) ? random.below(5) : undefined;
    let finished;
    exchange.whole = new Promise((resolve) => (finished = resolve));
    exchange.start = this.#tick();
    this.#asking.set(exchange.id, exchange);
    const query = new URLSearchParams({ scope: exchange.asked, identity: exchange.identity });
    const request = { method: isGet ? 'GET' : 'POST', path: `/sts/exchange?${query}`, headers: { authorization: `Bearer ${credential}` } };
    try {
      const { answer, kv, lines, lost } = await this.fleet.ask(exchange.isolate, { id: exchange.id, now: exchange.start, failingKv }, request);
      const events = lines.filter(({ event }) => event === 'exchange');
      Object.assign(exchange, { answer, kv, lines, lost, events, event: events[0], end: this.clock.now });
      this.#countKv(kv);
    } finally {
      this.#asking.delete(exchange.id);
      finished();
    }
    return exchange;
  }

  /** Which policy an exchange asks for. A few are common, others rare; some do not exist. */
  #question(random) {
    const { policies } = this.world;
    const policy = policies[Math.floor(policies.length * random.next() ** 2)];
    const { owner, repository } = policy;
    const isUnknown = random.happens(0.03);
    const identity = isUnknown ? `nobody-${random.below(60)}` : policy.identity;
    const isOwnerScope = repository === '.github' && random.happens(0.7);
    const scope = isOwnerScope ? owner.login : `${owner.login}/${repository}`;
    return {
      scope,
      asked: random.happens(0.1) ? scope.toUpperCase() : scope,
      identity,
      owner: owner.login,
      policy: isUnknown ? undefined : policy,
      policyRepository: repository,
      policyKey: `${owner.login}/${repository}/${identity}`,
      issuer: isUnknown || random.happens(0.03) ? random.of(this.issuers) : policy.issuer,
    };
  }

  #token(exchange, random) {
    const { issuer, owner, policyRepository } = exchange;
    let kind = random.weighted(TOKENS);
    const removed = issuer.removedKey();
    if (kind === 'removed-key' && !removed) kind = 'valid';
    const key = kind === 'removed-key' ? removed : issuer.keys.at(-1);
    const ref = kind === 'other-branch' ? random.of(['dev', 'stable']) : random.happens(0.05) ? 'stable' : 'main';
    const repository = `${owner}/${policyRepository === '.github' ? 'repo-1' : policyRepository}`;
    const claims = { sub: `repo:${repository}:ref:refs/heads/${ref}`, repository, ref: `refs/heads/${ref}` };
    exchange.token = { kind, key, ref, isKnownKey: key.publishedAt < this.clock.now - 3_600_000 };
    switch (kind) {
      case 'malformed':
        return random.of(['x.y', `${encode({ alg: 'none' })}.${encode({ iss: issuer.url })}.`, 'ghp_notatoken']);
      case 'expired':
        return issuer.token(claims, { lifetime: -30 });
      case 'unknown-key':
        return issuer.token(claims, { header: { kid: `invented-${random.below(100)}` } });
      case 'bad-signature': {
        const [header, payload, signature] = issuer.token(claims).split('.');
        return `${header}.${payload}.${Buffer.from(signature, 'base64url').reverse().toString('base64url')}`;
      }
      case 'disallowed':
        return issuer.token({ ...claims, iss: DISALLOWED });
      case 'other-audience':
        return issuer.token({ ...claims, aud: 'another.example.com' });
      default:
        return issuer.token(claims, { key });
    }
  }

  /** Every token is delivered and valid, or revoked, unless its revocation was made to fail or no one ever saw it. */
  #settleLedger() {
    const { ledger } = this.github;
    this.tokens ??= { minted: 0, delivered: 0, revoked: 0, 'revocation made to fail': 0, 'lost in a broken answer': 0 };
    for (const token of ledger.values()) {
      this.tokens.minted += 1;
      const complain = (complaint) => this.oracle.unexplained.push({ exchange: { id: token.exchange, token }, complaint });
      if (token.isDelivered) {
        this.tokens.delivered += 1;
        if (token.attempts.length > 0) complain('a token was delivered and revoked');
      } else if (token.revoked) this.tokens.revoked += 1;
      else if (token.isLost) this.tokens['lost in a broken answer'] += 1;
      else if (token.attempts.length > 0) this.tokens['revocation made to fail'] += 1;
      else complain('a token was neither delivered nor revoked');
    }
    ledger.clear();
  }

  /** What is wrong, as sentences; none if all is well. */
  complaints() {
    const { unexplained } = this.oracle;
    const { violations } = this.github;
    return [
      ...violations.slice(0, 10).map((violation) => `GitHub would have refused: ${violation}`),
      ...unexplained.slice(0, 10).map(({ exchange, complaint }) => `${exchange.id}: ${complaint}`),
      ...Object.keys(MOST_GROWTH).filter((kind) => this.growth(kind) > MOST_GROWTH[kind]).map((kind) => `memory (${kind}) grew by a factor of ${this.growth(kind).toFixed(2)}`),
    ];
  }

  /** The last quarter's memory divided by the second quarter's. A short run says nothing, because the first batches fill the caches. */
  growth(kind) {
    const samples = this.memory.map((sample) => sample[kind]);
    const quarter = Math.floor(samples.length / 4);
    if (quarter < 4 || samples.includes(0)) return 1;
    return median(samples.slice(-quarter)) / median(samples.slice(quarter, 2 * quarter));
  }
}

export function median(numbers) {
  return [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
}
