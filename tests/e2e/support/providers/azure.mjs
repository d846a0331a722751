// https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow and
// https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes.

import { Provider, Refusal } from './provider.mjs';

const aadsts = (status, error, number) => new Refusal(status, {
  error, error_description: `AADSTS${number}: a text for people. Trace ID: 1 Correlation ID: 2 Timestamp: 3`, error_codes: [number],
  timestamp: '3', trace_id: '1', correlation_id: '2', error_uri: `https://login.microsoftonline.com/error?code=${number}`,
});

export class Azure extends Provider {
  tenant = 'acme.example.com';
  client = { id: 'c', audience: 'api://AzureADTokenExchange', issuers: new Set(['https://sts.example.com']) };
  resources = new Set(['https://api.example.com']);

  constructor(party) {
    super(party, 'login.microsoftonline.com');
  }

  async answer(record) {
    const otherwise = () => aadsts(400, 'invalid_request', 900144);
    const { grant_type, client_id, scope, client_assertion_type, client_assertion, ...more } =
      this.members(record, { path: record.path, encoding: 'form', otherwise });
    const tenant = /^\/([A-Za-z0-9.-]+)\/oauth2\/v2\.0\/token$/.exec(record.path)?.[1];
    if (tenant !== this.tenant) throw aadsts(400, 'invalid_request', 90002);
    if (grant_type !== 'client_credentials' || client_assertion_type !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' || Object.keys(more).length > 0) throw otherwise();
    if (client_id !== this.client.id) throw aadsts(400, 'unauthorized_client', 700016);
    if (!scope?.endsWith('/.default')) throw aadsts(400, 'invalid_scope', 1002012);
    const numbers = { expired: 700024, early: 700024, issuer: 700211, keys: 700027, signature: 700027, malformed: 50027 };
    const claims = await this.verified(client_assertion, { allowsLaterIssue: true }, (reason) => aadsts(401, 'invalid_client', numbers[reason]));
    if (!this.client.issuers.has(claims.iss)) throw aadsts(401, 'invalid_client', 700211);
    if (claims.aud !== this.client.audience) throw aadsts(401, 'invalid_client', 700212);
    if (!this.subjects.has(claims.sub)) throw aadsts(401, 'invalid_client', 700213);
    if (!this.resources.has(scope.slice(0, -'/.default'.length))) throw aadsts(400, 'invalid_resource', 500011);
    return this.grant('azure', claims, { token_type: 'Bearer', expires_in: this.life, ext_expires_in: this.life, access_token: this.secret('eyJ0.azure.') });
  }
}

/** In the minutes after a credential was made. */
export const notKnownYet = aadsts(400, 'invalid_request', 70021);
