// https://developers.openai.com/api/reference/workload-identity-federation: classes of errors, of which only two have a
// name there.

import { Provider, Refusal } from './provider.mjs';

const error = (status, code) => new Refusal(status, { error: { message: 'a text for people', type: 'invalid_request_error', param: null, code } });

export class OpenAi extends Provider {
  provider = { id: 'idp_1', audience: 'https://openai.example.com' };
  accounts = new Set(['sa_1']);

  constructor(party) {
    super(party, 'auth.openai.com');
  }

  async answer(record) {
    const otherwise = () => error(400, 'invalid_request');
    const { grant_type, subject_token_type, subject_token, identity_provider_id, service_account_id, ...more } =
      this.members(record, { path: '/oauth/token', encoding: 'json', otherwise });
    if (grant_type !== 'urn:ietf:params:oauth:grant-type:token-exchange' || Object.keys(more).length > 0) throw otherwise();
    if (subject_token_type !== 'urn:ietf:params:oauth:token-type:jwt' || !subject_token || !service_account_id) throw otherwise();
    if (identity_provider_id !== this.provider.id) throw error(400, 'invalid_grant');
    const invalid = () => error(401, 'invalid_subject_token');
    const claims = await this.verified(subject_token, { allowsLaterIssue: true }, invalid);
    if (claims.aud !== this.provider.audience) throw invalid();
    if (!this.accounts.has(service_account_id) || !this.subjects.has(claims.sub)) throw error(403, 'invalid_grant');
    // It does not outlive the subject token.
    const expires_in = Math.min(3600, claims.exp - this.party.now(), this.life);
    const granted = { access_token: this.secret('openai-'), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', token_type: 'Bearer', expires_in, expires_at: this.party.now() + expires_in };
    return this.grant('openai', claims, granted);
  }
}
