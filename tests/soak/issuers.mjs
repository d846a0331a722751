// OIDC issuers whose keys rotate. RS256 for the one with most tokens, ES256 for the others; each says in its own way
// how long its keys may be cached.

import { generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);
const HOUR = 3_600_000;

const ISSUERS = [
  { url: 'https://token.actions.githubusercontent.com', algorithm: 'RS256', freshFor: 900_000 },
  { url: 'https://oidc.ci.example.com', algorithm: 'ES256', cacheControl: 'max-age=120', freshFor: 120_000 },
  { url: 'https://login.example.net/tenant', algorithm: 'ES256', cacheControl: 'public, max-age=7200', freshFor: HOUR },
];

/** An issuer that the server's settings do not list. */
export const DISALLOWED = 'https://issuer.example.org';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export class Issuer {
  /** Every key that it ever published: `{kid, publishedAt, removedAt, jwk}`, the newest last. */
  keys = [];
  /** The key pair after the next rotation, which takes a while to make. */
  #next;
  #tokens = new Map();
  #rotations = 0;

  static async all(clock) {
    return Promise.all(
      ISSUERS.map(async (description) => {
        const issuer = Object.assign(new Issuer(), description, { clock, host: new URL(description.url).host });
        issuer.#prepare();
        await issuer.rotate();
        return issuer;
      }),
    );
  }

  #prepare() {
    this.#next = this.algorithm === 'RS256' ? generate('rsa', { modulusLength: 2048 }) : generate('ec', { namedCurve: 'P-256' });
  }

  /** A new key. The older ones are removed; with `overlaps`, the newest of them stays for a while. */
  async rotate({ overlaps = false } = {}) {
    const { privateKey, publicKey } = await this.#next;
    this.#prepare();
    const living = this.keys.filter(({ removedAt }) => removedAt === Infinity);
    for (const key of overlaps ? living.slice(0, -1) : living) key.removedAt = this.clock.now;
    const kid = `${this.algorithm}-${(this.#rotations += 1)}`;
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: this.algorithm, use: 'sig' };
    this.keys.push({ kid, jwk, privateKey, publishedAt: this.clock.now, removedAt: Infinity });
    this.#tokens.clear();
  }

  /** A key that is no longer published, if there is one. */
  removedKey() {
    return this.keys.findLast(({ removedAt }) => removedAt !== Infinity);
  }

  /** A token; valid ones are used for five minutes, like those of a job. */
  token(claims, { key = this.keys.at(-1), header = {}, lifetime = 600 } = {}) {
    const name = JSON.stringify([key.kid, header, claims, lifetime, Math.floor(this.clock.now / 300_000)]);
    const known = this.#tokens.get(name);
    if (known) return known;
    const now = Math.floor(this.clock.now / 1000);
    const payload = { iss: this.url, aud: 'sts.example.com', iat: now - Math.max(0, -lifetime) - 1, exp: now + lifetime, ...claims };
    const signed = `${encode({ alg: this.algorithm, typ: 'JWT', kid: key.kid, ...header })}.${encode(payload)}`;
    const signature = sign('sha256', Buffer.from(signed), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    const token = `${signed}.${signature.toString('base64url')}`;
    if (this.#tokens.size > 2000) this.#tokens.clear();
    this.#tokens.set(name, token);
    return token;
  }

  /** `{kind, status, headers, json}` for a path; both documents, nothing else. */
  answer(path) {
    const prefix = new URL(this.url).pathname.replace(/\/$/, '');
    const headers = this.cacheControl ? { 'cache-control': this.cacheControl } : {};
    if (path === `${prefix}/.well-known/openid-configuration`) {
      return { kind: 'discovery', status: 200, headers, json: { issuer: this.url, jwks_uri: `https://${this.host}/keys` } };
    }
    if (path !== '/keys') return { kind: 'unknown', status: 404, json: {} };
    const living = this.keys.filter(({ removedAt }) => removedAt === Infinity);
    return { kind: 'jwks', status: 200, headers, json: { keys: living.map(({ jwk }) => jwk) } };
  }
}
