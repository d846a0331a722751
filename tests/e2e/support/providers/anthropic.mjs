// https://platform.claude.com/docs/en/manage-claude/wif-reference: every denial of an assertion is the same opaque 401.

import { Provider, Refusal } from './provider.mjs';

const error = (status, type, message) => new Refusal(status, { type: 'error', error: { type, message }, request_id: 'req_1' });
const denied = () => error(401, 'authentication_error', 'Authentication failed');

export class Anthropic extends Provider {
  rule = {
    id: 'fdrl_1', organization: '0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11', account: 'svac_1', audience: 'https://api.anthropic.com',
    workspaces: ['wrkspc_1'], seconds: 3600,
  };

  /** By the issuer: `exp - iat` at most. */
  maxSeconds = 3600;

  constructor(party) {
    super(party, 'api.anthropic.com');
  }

  async answer(record) {
    const otherwise = () => error(400, 'invalid_request_error', 'the request is not as documented');
    const { grant_type, assertion, federation_rule_id, organization_id, service_account_id, workspace_id, ...more } =
      this.members(record, { path: '/v1/oauth/token', encoding: 'json', otherwise });
    const betas = record.headers['anthropic-beta']?.split(',') ?? [];
    if (!betas.includes('oidc-federation-2026-04-01') || !betas.includes('oauth-2025-04-20') || Object.keys(more).length > 0) throw otherwise();
    if (grant_type !== 'urn:ietf:params:oauth:grant-type:jwt-bearer' || !assertion || assertion.length > 16384) throw otherwise();
    if (!/^fdrl_\w+$/.test(federation_rule_id) || !/^svac_\w+$/.test(service_account_id) || !/^[0-9a-f-]{36}$/.test(organization_id)) throw otherwise();
    if (workspace_id !== undefined && !/^(wrkspc_\w+|default)$/.test(workspace_id)) throw otherwise();
    // A leeway of 30 seconds for `exp`, `nbf` and `iat`.
    const claims = await this.verified(assertion, { leeway: 30 }, denied);
    const { rule } = this;
    const isRule = federation_rule_id === rule.id && organization_id === rule.organization && service_account_id === rule.account;
    const isFit = claims.aud === rule.audience && this.subjects.has(claims.sub) && claims.exp - claims.iat <= this.maxSeconds;
    const isWorkspace = workspace_id === undefined ? rule.workspaces.length === 1 : rule.workspaces.includes(workspace_id);
    if (!isRule || !isFit || !isWorkspace || !this.isNew(claims)) throw denied();
    const rest = claims.exp - this.party.now();
    const expires_in = Math.min(rule.seconds, Math.max(60, 2 * rest), this.life);
    return this.grant('anthropic', claims, { access_token: this.secret('sk-ant-oat01-'), token_type: 'Bearer', expires_in, scope: 'workspace:inference' });
  }
}
