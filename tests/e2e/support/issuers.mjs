// OIDC issuers that are not ours: `oauth2-mock-server`, which says what a test tells it to and stands for GitHub
// Actions, and `oidc-provider`, a certified provider, as a second, independent reading of the standards. Both answer
// under production-like host names, see `Internet.host`.

import { OAuth2Server } from 'oauth2-mock-server';

/** An issuer whose tokens have any claims and any algorithm. */
export class MockIssuer {
  /** Every token that it issued. */
  issued = [];

  #server;

  static async start(url, { algorithms = ['RS256'] } = {}) {
    const issuer = new MockIssuer();
    issuer.url = url;
    issuer.#server = new OAuth2Server();
    for (const algorithm of algorithms) await issuer.addKey(algorithm);
    issuer.#server.issuer.url = url;
    return issuer;
  }

  /** A key named after its algorithm unless `kid` says otherwise. */
  addKey(algorithm, kid = algorithm) {
    return this.#server.issuer.keys.generate(algorithm, { kid });
  }

  /** A token with the given claims in addition to those that every issuer sets; `undefined` removes one. */
  async token(claims = {}, { kid, header = {} } = {}) {
    const token = await this.#server.issuer.buildToken({
      kid,
      scopesOrTransform: (tokenHeader, payload) => {
        Object.assign(tokenHeader, header);
        Object.assign(payload, claims);
        for (const name of Object.keys(payload)) if (payload[name] === undefined) delete payload[name];
      },
    });
    this.issued.push(token);
    return token;
  }

  get answerer() {
    return (incoming, outgoing) => this.#server.service.requestHandler(incoming, outgoing);
  }
}

/** The claims of a GitHub Actions job that policies use. */
export function actionsClaims(overrides = {}) {
  const { repository = 'acme/app', ref = 'refs/heads/main', ...others } = overrides;
  const [owner] = repository.split('/');
  return {
    aud: 'sts.example.com',
    sub: `repo:${repository}:ref:${ref}`,
    repository,
    repository_id: '4242',
    repository_owner: owner,
    repository_owner_id: '99',
    ref,
    ref_type: 'branch',
    event_name: 'push',
    job_workflow_ref: `${repository}/.github/workflows/deploy.yaml@${ref}`,
    ...others,
  };
}
