// `oidc-provider`, a certified OpenID provider, as the second issuer: other key-set media type, other `typ`, `PS256`,
// and tokens that come from its own token endpoint.

import { generateKeyPairSync } from 'node:crypto';

import Provider from 'oidc-provider';

const CLIENT = { client_id: 'deployer', client_secret: 'a secret of the tests, long enough' };

export class CertifiedIssuer {
  /** Every token that it issued. */
  issued = [];

  #provider;
  #internet;

  /** `audience` goes into every token. */
  static start(url, internet, { audience, algorithm = 'PS256' }) {
    const issuer = new CertifiedIssuer();
    issuer.url = url;
    issuer.#internet = internet;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    issuer.#provider = new Provider(url, {
      clients: [{ ...CLIENT, id_token_signed_response_alg: algorithm, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: algorithm, kid: 'certified-1', use: 'sig' }] },
      ttl: { ClientCredentials: 300 },
      cookies: { keys: ['a cookie key of the tests'] },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => 'https://resource.example.com',
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: '',
            audience,
            accessTokenTTL: 300,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: algorithm } },
          }),
        },
      },
    });
    issuer.#provider.proxy = true;
    issuer.answerer = issuer.#provider.callback();
    internet.host(new URL(url).host, issuer.answerer);
    return issuer;
  }

  /** A token of the client `deployer`, from the token endpoint. */
  async token() {
    const { body } = await this.#internet.ask(new URL(this.url).host, {
      method: 'POST',
      path: '/token',
      headers: { 'x-forwarded-proto': 'https', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...CLIENT }).toString(),
    });
    const token = body.access_token;
    if (!token) throw new Error(`no token: ${JSON.stringify(body)}`);
    this.issued.push(token);
    return token;
  }
}
