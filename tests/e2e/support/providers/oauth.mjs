// Any provider that follows RFC 8693 or RFC 7523, with the errors of RFC 6749, 5.2.

import { Provider, Refusal } from './provider.mjs';

const error = (status, code) => new Refusal(status, { error: code, error_description: 'a text for people' });

export class OAuth extends Provider {
  /** The member that has the assertion, by the grant. */
  static grants = {
    'urn:ietf:params:oauth:grant-type:token-exchange': 'subject_token',
    'urn:ietf:params:oauth:grant-type:jwt-bearer': 'assertion',
  };
  supported = Object.keys(OAuth.grants);

  constructor(party, host, { encoding = 'form' } = {}) {
    super(party, host);
    this.encoding = encoding;
  }

  async answer(record) {
    const sent = this.members(record, { path: '/token', encoding: this.encoding, otherwise: () => error(400, 'invalid_request') });
    if (!this.supported.includes(sent.grant_type)) throw error(400, 'unsupported_grant_type');
    const claims = await this.verified(sent[OAuth.grants[sent.grant_type]], {}, () => error(400, 'invalid_grant'));
    if (claims.aud !== `https://${this.host}` || !this.isNew(claims)) throw error(400, 'invalid_grant');
    if (!this.subjects.has(claims.sub)) throw error(401, 'invalid_client');
    return this.grant('oauth', claims, { access_token: this.secret('oauth-'), token_type: 'Bearer', expires_in: this.life });
  }
}

export const oauthErrors = Object.fromEntries(
  [['invalid_scope', 400], ['unauthorized_client', 400], ['invalid_target', 400]].map(([code, status]) => [code, error(status, code)]),
);
