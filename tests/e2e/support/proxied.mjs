// The Worker with upstreams, an issuer and both Durable Object classes, on real workerd and loopback. There is nothing
// between the Worker and its upstreams: what arrives there is what the runtime wrote.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Log, LogLevel, Miniflare } from 'miniflare';
import { OAuth2Server } from 'oauth2-mock-server';

import { DOMAIN } from './worker.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TOML = readFileSync(`${ROOT}wrangler.toml`, 'utf8');
const compatibilityDate = /^compatibility_date = "(.+)"$/m.exec(TOML)[1];
const compatibilityFlags = JSON.parse(/^compatibility_flags = (\[.+\])$/m.exec(TOML)[1]);

/** What no log, event, error or caller may see. */
export const CANARY = 'canary-of-the-upstream-0123456789';

const onlyMain = (issuer) => [{ issuer, subject: 'repo:acme/app:ref:refs/heads/main' }];

export class Proxied {
  logs = [];
  tokens = [];

  #options;

  /**
   * `upstreams` is an object of name to members; `allow` makes the rules of those that have none, of the issuer's address.
   * `budgets` is the class of the budgets' objects: the Worker's own, or one that the module text `standIn` exports.
   * `stored` is a folder for what objects store. With `internet`, an `Internet`, nothing but that is around the Worker.
   */
  static async start(
    upstreams,
    { vars = {}, withoutBudgets = false, budgets = 'ProxyBudget', standIn = '', stored, internet, allow = onlyMain } = {},
  ) {
    const world = new Proxied();
    world.issuer = new OAuth2Server();
    await world.issuer.issuer.keys.generate('ES256');
    await world.issuer.start(0, '127.0.0.1');
    world.iss = `http://127.0.0.1:${world.issuer.address().port}`;
    world.issuer.issuer.url = world.iss;
    internet?.host(new URL(world.iss).host, world.issuer.service.requestHandler);
    const around = internet ? { external: { address: internet.address, http: { forwardedProtoHeader: 'x-forwarded-proto' } } } : undefined;
    const named = Object.fromEntries(Object.entries(upstreams).map(([name, { url, ...more }]) => [name, {
      url,
      credential: { secret: { name: 'EXAMPLE_API_KEY' } },
      allow: allow(world.iss),
      requests_per_second: 100,
      max_requests: 10000,
      ...more,
    }]));
    world.#options = {
      modules: [
        { type: 'ESModule', path: 'main.js', contents: `export * from './index.js'; export { default } from './index.js';${standIn}` },
        { type: 'ESModule', path: 'index.js', contents: readFileSync(`${ROOT}build/index.js`, 'utf8') },
        { type: 'CompiledWasm', path: 'index_bg.wasm', contents: readFileSync(`${ROOT}build/index_bg.wasm`) },
      ],
      compatibilityDate,
      compatibilityFlags,
      kvNamespaces: ['OCTO_STS_KV'],
      durableObjects: {
        USED_TOKENS: { className: 'UsedToken', useSQLite: true },
        ...(withoutBudgets ? {} : { PROXY_BUDGETS: { className: budgets, useSQLite: true } }),
      },
      bindings: {
        DOMAIN,
        ALLOW_LOOPBACK_HTTP: 'true',
        // As a table of wrangler.toml arrives, not as text.
        UPSTREAMS: named,
        EXAMPLE_API_KEY: CANARY,
        ...vars,
      },
      ...(stored ? { durableObjectsPersist: stored } : {}),
      cf: false,
      // Stands in for the internet if providers have fixed hosts.
      ...(around ? { outboundService: around } : {}),
      // Miniflare's own entry is a Worker that parses every target again; this is the runtime's.
      unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ level, message }) => {
        world.logs.push({ level, message });
      },
    };
    world.miniflare = new Miniflare(world.#options);
    await world.#listening();
    return world;
  }

  async #listening() {
    await this.miniflare.ready;
    this.url = String(await this.miniflare.unsafeGetDirectURL()).replace(/\/$/, '');
  }

  /** A new isolate, as after a deployment, with these settings changed; `undefined` takes one away. What objects stored is there. */
  async newIsolate(vars = {}) {
    this.#options = { ...this.#options, bindings: JSON.parse(JSON.stringify({ ...this.#options.bindings, ...vars })) };
    await this.miniflare.setOptions(this.#options);
    await this.#listening();
  }

  /** All of KV: keys and values. */
  async stored() {
    const kv = await this.miniflare.getKVNamespace('OCTO_STS_KV');
    const { keys } = await kv.list();
    return Promise.all(keys.map(async ({ name }) => [name, await kv.get(name)]));
  }

  /** A token of the run used everywhere here, with some claims changed. */
  async token(upstream, claims = {}) {
    const token = await this.issuer.issuer.buildToken({
      scopesOrTransform: (_header, payload) => Object.assign(payload, {
        sub: 'repo:acme/app:ref:refs/heads/main', aud: `https://${DOMAIN}/proxy/${upstream}`,
        jti: randomUUID(), repository_id: '1', run_id: '2', run_attempt: '1', ...claims,
      }),
    });
    this.tokens.push(token);
    return token;
  }

  /** A request with a valid token. */
  async call(upstream, path, { headers = {}, claims, ...init } = {}) {
    const authorization = `Bearer ${await this.token(upstream, claims)}`;
    return fetch(`${this.url}/proxy/${upstream}${path}`, { redirect: 'manual', ...init, headers: { authorization, ...headers } });
  }

  events() {
    return this.lines().filter(({ event }) => event !== undefined);
  }

  lines() {
    // The runtime logs its own messages, for example about upstreams that do not speak HTTP.
    return this.logs.filter(({ message }) => message.startsWith('{')).map(({ message }) => JSON.parse(message));
  }

  /** Waits for the first matching event. */
  async event(fits) {
    for (let tries = 0; tries < 100; tries += 1) {
      const found = this.events().find(fits);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no such event among ${JSON.stringify(this.events().slice(-5))}`);
  }

  async stop() {
    await this.miniflare.dispose();
    await this.issuer.stop();
  }
}
