// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token, its second leg
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken, and
// https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation.

import { Provider, Refusal } from './provider.mjs';

const POOL = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p';

/** The audience of a provider of the pool. */
export const googleProvider = (name) => `${POOL}/providers/${name}`;

const oauth = (status, error, error_description) => new Refusal(status, { error, error_description });
const rpc = (code, status, message) => new Refusal(code, { error: { code, message, status } });

export class GoogleSts extends Provider {
  /** Each is for one of the tests' upstreams. */
  providers = new Set([googleProvider('google'), googleProvider('account')]);

  constructor(party) {
    super(party, 'sts.googleapis.com');
  }

  async answer(record) {
    const otherwise = () => oauth(400, 'invalid_request', 'the request is not as documented');
    const { grant_type, audience, scope, requested_token_type, subject_token_type, subject_token, ...more } =
      this.members(record, { path: '/v1/token', encoding: 'form', otherwise });
    const isSo = grant_type === 'urn:ietf:params:oauth:grant-type:token-exchange' && requested_token_type === 'urn:ietf:params:oauth:token-type:access_token'
      && subject_token_type === 'urn:ietf:params:oauth:token-type:jwt' && scope?.split(' ').every(Boolean) && Object.keys(more).length === 0;
    if (!isSo) throw otherwise();
    if (!this.providers.has(audience)) throw oauth(400, 'invalid_target', 'The target service indicated by the "audience" parameters is invalid.');
    const invalid = (reason) => oauth(400, 'invalid_grant', reason === 'keys' ? "Error connecting to the given credential's issuer." : 'Invalid JWT.');
    const claims = await this.verified(subject_token, { algorithms: ['RS256', 'ES256'] }, invalid);
    // With or without the scheme.
    if (![audience, `https:${audience}`].includes(claims.aud) || claims.exp - claims.iat > 86_400) throw invalid();
    if (Buffer.byteLength(claims.sub) > 127) throw oauth(400, 'invalid_request', 'The size of mapped attribute google.subject exceeds the 127 bytes limit.');
    if (!this.subjects.has(claims.sub)) throw oauth(400, 'unauthorized_client', 'The given credential is rejected by the attribute condition.');
    const leg = audience.split('/').at(-1);
    const hosts = leg === 'account' ? ['iamcredentials.googleapis.com'] : [];
    const expires_in = Math.min(3600, claims.exp - this.party.now(), this.life);
    return this.grant(leg, claims, { access_token: this.secret('ya29.d.', hosts), issued_token_type: requested_token_type, token_type: 'Bearer', expires_in });
  }
}

export class GoogleAccounts extends Provider {
  /** The service account, and who may impersonate it. */
  account = 'sts@acme.iam.gserviceaccount.com';
  mayImpersonate = true;
  isEnabled = true;

  #sts;

  constructor(party, sts) {
    super(party, 'iamcredentials.googleapis.com');
    this.#sts = sts;
  }

  subjectOf(record) {
    return this.#exchangeOf(record)?.claims.sub;
  }

  /** The first leg, whose token the request has. */
  #exchangeOf({ headers }) {
    const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
    return this.#sts.exchanges.find(({ leg, granted }) => leg === 'account' && granted.access_token === bearer);
  }

  async answer(record) {
    const { method, path, headers, body } = record;
    const [, email, verb] = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):(\w+)$/.exec(path) ?? [];
    if (method !== 'POST' || verb !== 'generateAccessToken' || headers['content-type'] !== 'application/json') throw rpc(404, 'NOT_FOUND', 'no such method');
    const exchange = this.#exchangeOf(record);
    if (!exchange) throw rpc(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.');
    const { scope, ...more } = JSON.parse(body);
    if (!Array.isArray(scope) || scope.length === 0 || Object.keys(more).length > 0) throw rpc(400, 'INVALID_ARGUMENT', 'Scope required.');
    if (!this.isEnabled) throw rpc(403, 'PERMISSION_DENIED', 'IAM Service Account Credentials API has not been used in project 1 before or it is disabled.');
    if (decodeURIComponent(email) !== this.account) throw rpc(404, 'NOT_FOUND', 'Unknown service account');
    if (!this.mayImpersonate) throw rpc(403, 'PERMISSION_DENIED', "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).");
    const expireTime = new Date((this.party.now() + this.life) * 1000).toISOString().replace(/\.\d+/, '');
    return this.grant('iamcredentials', exchange.claims, { accessToken: this.secret('ya29.c.'), expireTime });
  }
}

export const quota = {
  sts: oauth(429, 'quota_exceeded', 'The request was throttled due to rate limit: sts.googleapis.com/requests.'),
  accounts: rpc(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded.'),
};
