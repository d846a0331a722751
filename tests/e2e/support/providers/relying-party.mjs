// What every provider does with an assertion before it looks at its own rules: it finds the issuer's keys through the
// published metadata and verifies with `jose`, by a clock of its own.

import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';

const REQUIRED = ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti'];

/** Why an assertion is not accepted. Each provider has its own words for it. */
export class NotAccepted extends Error {
  /** `malformed`, `issuer`, `keys`, `signature`, `expired` or `early`. */
  constructor(reason, detail) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
  }
}

export class RelyingParty {
  /** How many seconds its clock is ahead of ours. */
  ahead = 0;

  /** With a set of keys that it has, it does not look for another one, as in the minutes before its cache is over. */
  keepsKeys = false;

  /** Whether it can have the key set at all. */
  isCutOff = false;

  #issuer;
  #get;
  #keys;

  /** `get` resolves a path of the issuer to `{status, headers, body}`. */
  constructor(issuer, get) {
    this.#issuer = issuer;
    this.#get = get;
  }

  now() {
    return Math.floor(Date.now() / 1000) + this.ahead;
  }

  /** Takes the key set that is published now. */
  async refresh() {
    this.#keys = createLocalJWKSet(await this.#published());
  }

  /** The claims of a good assertion. `leeway` is in seconds; without `allowsLaterIssue` an `iat` to come is refused as well. */
  async verify(token, { algorithms = ['RS256'], leeway = 0, allowsLaterIssue = false } = {}) {
    let header, unverified;
    try {
      header = decodeProtectedHeader(token);
      unverified = decodeJwt(token);
    } catch (error) {
      throw new NotAccepted('malformed', error);
    }
    if (unverified.iss !== this.#issuer) throw new NotAccepted('issuer', unverified.iss);
    if (!algorithms.includes(header.alg)) throw new NotAccepted('malformed', header.alg);
    if (typeof header.kid !== 'string') throw new NotAccepted('malformed', 'no kid');
    const options = {
      issuer: this.#issuer, algorithms, typ: 'JWT', requiredClaims: REQUIRED, clockTolerance: leeway, currentDate: new Date(this.now() * 1000),
    };
    const { payload } = await this.#verified(token, options);
    if (!allowsLaterIssue && payload.iat > this.now() + leeway) throw new NotAccepted('early', `iat ${payload.iat}`);
    return payload;
  }

  async #verified(token, options) {
    if (this.isCutOff) throw new NotAccepted('keys', 'nobody there');
    if (!this.#keys) await this.refresh();
    try {
      return await this.#attempt(token, options);
    } catch (error) {
      if (!(error instanceof NotAccepted) || error.reason !== 'keys' || this.keepsKeys) throw error;
    }
    // A key that is not known yet: whoever verifies looks once more.
    await this.refresh();
    return this.#attempt(token, options);
  }

  async #attempt(token, options) {
    try {
      return await jwtVerify(token, this.#keys, options);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) throw new NotAccepted('keys', error.message);
      if (error instanceof errors.JWSSignatureVerificationFailed) throw new NotAccepted('signature', error.message);
      if (error instanceof errors.JWTExpired) throw new NotAccepted('expired', error.message);
      if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf') throw new NotAccepted('early', error.message);
      if (error instanceof errors.JOSEError) throw new NotAccepted('malformed', error.message);
      throw error;
    }
  }

  /** The key set, by the way of OpenID Connect Discovery, and with what some provider or other refuses in it. */
  async #published() {
    const metadata = await this.#document('/.well-known/openid-configuration');
    const { pathname, origin } = new URL(metadata.jwks_uri);
    const isOurs = metadata.issuer === this.#issuer && origin === this.#issuer;
    if (!isOurs) throw new NotAccepted('keys', `metadata of ${metadata.issuer}, keys at ${metadata.jwks_uri}`);
    // AWS's documentation lists these as required.
    for (const [name, value] of [['response_types_supported', 'id_token'], ['subject_types_supported', 'public'], ['id_token_signing_alg_values_supported', 'RS256']]) {
      if (!metadata[name]?.includes(value)) throw new NotAccepted('keys', `metadata without ${name}`);
    }
    for (const name of ['claims_supported']) if (!Array.isArray(metadata[name])) throw new NotAccepted('keys', `metadata without ${name}`);
    const set = await this.#document(pathname);
    for (const key of set.keys) {
      // AWS takes no key with `key_ops`, Google none with `x5c` or `x5t`; Entra and Anthropic want a `kid`.
      const bad = ['key_ops', 'x5c', 'x5t', 'd', 'p', 'q'].find((name) => name in key);
      if (bad || !key.kid || key.use !== 'sig') throw new NotAccepted('keys', `a key with ${bad} or without a kid`);
    }
    if (new Set(set.keys.map(({ kid }) => kid)).size !== set.keys.length) throw new NotAccepted('keys', 'one kid, two keys');
    return set;
  }

  async #document(path) {
    const { status, headers, body } = await this.#get(path);
    const cache = headers.get('cache-control') ?? '';
    if (status !== 200 || !/^application\/json\b/.test(headers.get('content-type'))) throw new NotAccepted('keys', `${path} is ${status}`);
    if (!/\bmax-age=[1-9]/.test(cache) || /no-store|no-cache/.test(cache)) throw new NotAccepted('keys', `${path} may not be cached`);
    return body;
  }
}
