// A strict stand-in for a provider's token endpoint: what it was not written for, it refuses.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { decodeJwt } from 'jose';

import { readBody } from '../internet.mjs';
import { NotAccepted } from './relying-party.mjs';

/** An answer that grants nothing. */
export class Refusal extends Error {
  constructor(status, body, headers = {}) {
    super(JSON.stringify(body));
    Object.assign(this, { status, body, headers });
  }
}

export class Provider {
  /** The subjects that are registered, compared exactly. */
  subjects = new Set();

  /** What is granted lives so many seconds. */
  life = 3600;

  /** `(incoming, outgoing)` in place of an answer, by the subject that asks. */
  faults = new Map();

  /** How long it takes, in milliseconds, by the subject that asks. */
  delays = new Map();

  /** A refusal in place of a grant, for what a request alone does not bring about. */
  refuses = undefined;

  /** The subjects of all requests. */
  asked = [];

  /** Each exchange: `{leg, claims, granted}`. */
  exchanges = [];

  /** What was given out or taken, and the hosts that may see it. */
  secrets = new Map();

  #used = new Set();

  constructor(party, host) {
    this.party = party;
    this.host = host;
  }

  answerer = async (incoming, outgoing, record) => {
    record.body = await readBody(incoming);
    const subject = this.subjectOf(record);
    if (subject) this.asked.push(subject);
    const fault = this.faults.get(subject);
    if (fault) return fault(incoming, outgoing);
    await sleep(this.delays.get(subject) ?? 0);
    let reply;
    try {
      reply = { status: 200, body: await this.answer(record), headers: {} };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reply = error;
    }
    const { status, headers, body } = reply;
    outgoing.writeHead(status, { 'content-type': typeof body === 'string' ? 'text/xml' : 'application/json', ...headers });
    outgoing.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

  /** The members of a request that has to be exactly so. */
  members({ method, path, headers, body }, { path: expected, encoding, otherwise }) {
    const type = encoding === 'json' ? 'application/json' : 'application/x-www-form-urlencoded';
    const isSo = method === 'POST' && path === expected && headers['content-type'] === type && headers.accept === 'application/json';
    if (!isSo || headers.authorization || headers['x-api-key'] || headers.cookie) throw otherwise();
    if (encoding === 'json') return JSON.parse(body);
    const pairs = [...new URLSearchParams(body)];
    if (new Set(pairs.map(([name]) => name)).size !== pairs.length) throw otherwise();
    return Object.fromEntries(pairs);
  }

  /** The claims of an assertion, or `refusal(reason)`. */
  async verified(assertion, options, refusal) {
    this.secrets.set(assertion, new Set([this.host]));
    try {
      return await this.party.verify(assertion, options);
    } catch (error) {
      if (error instanceof NotAccepted) throw refusal(error.reason);
      throw error;
    }
  }

  /** Whether an assertion comes for the first time. */
  isNew({ jti }) {
    const isNew = !this.#used.has(jti);
    this.#used.add(jti);
    return isNew;
  }

  /** Text that nobody else has, which only the upstream may see from now on (and `hosts`). */
  secret(prefix, hosts = []) {
    const secret = `${prefix}${randomBytes(24).toString('base64url')}`;
    this.secrets.set(secret, new Set(['upstream.example.com', ...hosts]));
    return secret;
  }

  /** The last step of a good exchange. */
  grant(leg, claims, granted) {
    if (this.refuses) throw this.refuses;
    this.exchanges.push({ leg, claims, granted });
    return granted;
  }

  /** Whom a request is about, before anything is verified. */
  subjectOf({ body }) {
    const token = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(body)?.[0];
    return token && decodeJwt(token).sub;
  }
}
