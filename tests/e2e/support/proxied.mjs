// The Worker with upstreams, an issuer and both Durable Object classes, on real workerd and loopback. There is nothing
// between the Worker and its upstreams: what arrives there is what the runtime wrote.

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

export class Proxied {
  logs = [];
  tokens = [];

  /** `upstreams` is a function of the issuer's address, or an object of name to members. */
  static async start(upstreams, { vars = {}, withoutBudgets = false, outbound } = {}) {
    const world = new Proxied();
    world.issuer = new OAuth2Server();
    await world.issuer.issuer.keys.generate('ES256');
    await world.issuer.start(0, '127.0.0.1');
    world.iss = `http://127.0.0.1:${world.issuer.address().port}`;
    world.issuer.issuer.url = world.iss;
    const named = Object.fromEntries(Object.entries(upstreams).map(([name, { url, ...more }]) => [name, {
      url,
      credential: { secret: { name: 'EXAMPLE_API_KEY' } },
      allow: [{ issuer: world.iss, subject: 'repo:acme/app:ref:refs/heads/main' }],
      requests_per_second: 100,
      max_requests: 10000,
      ...more,
    }]));
    world.miniflare = new Miniflare({
      modules: [
        { type: 'ESModule', path: 'index.js', contents: readFileSync(`${ROOT}build/index.js`, 'utf8') },
        { type: 'CompiledWasm', path: 'index_bg.wasm', contents: readFileSync(`${ROOT}build/index_bg.wasm`) },
      ],
      compatibilityDate,
      compatibilityFlags,
      kvNamespaces: ['OCTO_STS_KV'],
      durableObjects: {
        USED_TOKENS: { className: 'UsedToken', useSQLite: true },
        ...(withoutBudgets ? {} : { PROXY_BUDGETS: { className: 'ProxyBudget', useSQLite: true } }),
      },
      bindings: {
        DOMAIN,
        ALLOW_LOOPBACK_HTTP: 'true',
        // As a table of wrangler.toml arrives, not as text.
        UPSTREAMS: named,
        EXAMPLE_API_KEY: CANARY,
        ...vars,
      },
      cf: false,
      // Stands in for the internet if providers have fixed hosts.
      ...(outbound ? { outboundService: outbound } : {}),
      // Miniflare's own entry is a Worker that parses every target again; this is the runtime's.
      unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ level, message }) => {
        world.logs.push({ level, message });
      },
    });
    await world.miniflare.ready;
    world.url = String(await world.miniflare.unsafeGetDirectURL()).replace(/\/$/, '');
    return world;
  }

  /** A token of the run used everywhere here, with some claims changed. */
  async token(upstream, claims = {}) {
    const token = await this.issuer.issuer.buildToken({
      scopesOrTransform: (_header, payload) => Object.assign(payload, {
        sub: 'repo:acme/app:ref:refs/heads/main', aud: `https://${DOMAIN}/proxy/${upstream}`,
        repository_id: '1', run_id: '2', run_attempt: '1', ...claims,
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
