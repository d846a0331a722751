// Everything outside the Worker: one local server for GitHub and the issuers, which makes a part of the calls fail.
// Which call of which exchange breaks, and how, is a function of the seed.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { chance } from './random.mjs';

/** What the Worker can tell of an answer. */
const MEANS = { 401: 'unauthorized', 403: 'forbidden', 404: 'notfound', 422: 'unprocessable', 429: 'rate', 500: 'server', 502: 'server' };

const RETRY_AFTER = 7;

/** Faults by kind of call. A hang costs its caller five or ten seconds, so hangs are rare. */
const ANYWHERE = { 500: 6, 502: 3, reset: 4, truncated: 3, garbage: 2, hang: 0.01 };
const AT_GITHUB = { ...ANYWHERE, 429: 3, 'rate-limit-403': 3, 'retry-after-403': 1, 403: 1 };
const AT_ISSUER = { ...ANYWHERE, 429: 2, 'retry-after-403': 2, 403: 1, 404: 1 };
/** What a token that is seconds old sometimes gets. */
const TO_THE_YOUNG = { 401: 1, 403: 1, 404: 1 };
const AT_MINT = { ...AT_GITHUB, 401: 0.5, 404: 0.5, wide: 3, bare: 1 };
const FAULTS = {
  discovery: AT_ISSUER,
  jwks: AT_ISSUER,
  lookup: { ...AT_GITHUB, 404: 1 },
  'mint-read': AT_MINT,
  mint: AT_MINT,
  file: { ...AT_GITHUB, ...TO_THE_YOUNG },
  'issuers-file': { ...AT_GITHUB, ...TO_THE_YOUNG },
  see: { ...AT_GITHUB, ...TO_THE_YOUNG },
  check: AT_GITHUB,
  revoke: { 500: 2, 502: 1, 429: 1, reset: 2, hang: 0.01 },
};

export class Internet {
  /** How many of each fault. */
  faults = {};
  requests = 0;
  /** The share of calls that fail, in addition to outages of a host or a kind of call. */
  rate = 0.05;
  outage = { what: undefined, rate: 0 };

  #server;

  /** `exchangeOf(id)` is who asks: every call is put on its `calls`. */
  static async open({ clock, github, issuers, seed, exchangeOf }) {
    const internet = Object.assign(new Internet(), { clock, github, issuers, seed, exchangeOf });
    internet.#server = createServer((incoming, outgoing) => internet.#route(incoming, outgoing));
    // A connection closed while idle would be an uncounted fault.
    internet.#server.keepAliveTimeout = 0;
    internet.#server.requestTimeout = 0;
    internet.#server.listen(0, '127.0.0.1');
    await once(internet.#server, 'listening');
    return internet;
  }

  get address() {
    return `127.0.0.1:${this.#server.address().port}`;
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #route(incoming, outgoing) {
    const chunks = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      try {
        this.#answer(incoming, outgoing, Buffer.concat(chunks).toString());
      } catch (error) {
        this.github.violations.push(`${incoming.method} ${incoming.url}: ${error.stack}`);
        outgoing.writeHead(500).end();
      }
    });
  }

  #answer({ method, url: path, headers, socket }, outgoing, body) {
    const { host, 'x-soak-request': id } = headers;
    const exchange = this.exchangeOf(id);
    if (!exchange) throw new Error(`nobody's request: ${id}`);
    this.requests += 1;
    const issuer = this.issuers.find((one) => one.host === host);
    if (!issuer && host !== 'api.github.com') throw new Error(`a stranger was called: ${host}`);
    const answer = issuer ? issuer.answer(path) : this.github.answer({ method, path, headers, body }, exchange);
    const fault = this.#faultFor(answer, issuer, exchange);
    const status = /^[45]\d\d$/.test(fault) ? Number(fault) : ['rate-limit-403', 'retry-after-403'].includes(fault) ? 403 : answer.status;
    const { kind, token, revision, path: file, login, repository, suspended } = answer;
    const means = meaningOf(fault, status);
    exchange.calls.push({ kind, means, fault, status, issuer, revision, file, login, repository, suspended, at: this.clock.now });
    if (fault) this.faults[`${fault} at ${kind}`] = (this.faults[`${fault} at ${kind}`] ?? 0) + 1;

    // A token exists only if GitHub minted it.
    const isMinted = answer.status === 201 && token && (fault === undefined || ['truncated', 'wide', 'bare'].includes(fault));
    if (isMinted) {
      this.github.ledger.set(token.text, Object.assign(token, { isLost: fault === 'truncated', isFlawed: fault !== undefined }));
    }
    if (kind === 'revoke') {
      token.attempts.push(fault ?? 'done');
      if (!fault) token.revoked = true;
    }
    this.#send(outgoing, socket, fault, status, answer);
  }

  #faultFor({ kind, status }, issuer, exchange) {
    const random = chance(this.seed, 2, exchange.index, exchange.calls.length);
    const isOut = this.outage.what !== undefined && (this.outage.what === issuer?.host || this.outage.what === kind);
    if (isOut && random.happens(this.outage.rate)) return random.of(['500', '502', 'reset']);
    if (!FAULTS[kind] || !random.happens(this.rate)) return undefined;
    const fault = random.weighted(FAULTS[kind]);
    // After the repository was seen, a false 404 cannot be told from a real one, which means that every issuer is
    // allowed.
    if (kind === 'issuers-file' && fault === '404' && exchange.calls.some((call) => call.kind === 'see')) return '500';
    // A refusal has nothing to cut off, widen or garble.
    return status >= 400 && ['truncated', 'garbage', 'wide', 'bare'].includes(fault) ? '500' : fault;
  }

  #send(outgoing, socket, fault, status, { headers = {}, json }) {
    if (fault === 'reset') return socket.destroy();
    if (fault === 'hang') return undefined;
    if (fault === '429') return outgoing.writeHead(429, { 'retry-after': String(RETRY_AFTER) }).end('{}');
    if (fault === 'retry-after-403') return outgoing.writeHead(403, { 'retry-after': String(RETRY_AFTER) }).end('{}');
    if (fault === 'rate-limit-403') {
      const reset = Math.ceil(this.clock.now / 1000) + 90;
      return outgoing.writeHead(403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(reset) }).end('{}');
    }
    if (fault === 'garbage') return outgoing.writeHead(status, { 'content-type': 'text/html' }).end('<html>all is well</html>');
    if (/^\d+$/.test(fault)) return outgoing.writeHead(status, { 'content-type': 'application/json' }).end('{"message":"injected"}');
    const said = { wide: () => ({ ...json, permissions: { ...json.permissions, administration: 'write' } }), bare: () => ({ token: json.token }) };
    const text = json === undefined ? '' : JSON.stringify(said[fault]?.() ?? json);
    if (fault === 'truncated') {
      outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': String(text.length) });
      return outgoing.write(text.slice(0, text.length / 2), () => socket.destroy());
    }
    return outgoing.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers }).end(text);
  }
}

function meaningOf(fault, status) {
  if (fault === 'rate-limit-403' || fault === 'retry-after-403') return 'rate';
  if (fault === 'reset' || fault === 'hang') return 'none';
  if (fault === 'truncated') return 'broken';
  if (fault === 'garbage' || fault === 'wide' || fault === 'bare') return 'unreadable';
  return status < 300 ? 'ok' : MEANS[status];
}
