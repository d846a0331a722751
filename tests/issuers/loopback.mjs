// Issuers that nobody here wrote, on the loopback, for the libraries' tests: `oauth2-mock-server`, whose tokens say what a
// test wants, and `oidc-provider`, a certified one. Says where they are in its first line of output; then a line of input
// is what is asked for, and a line of output the answer: `{"issuer": "mock", "claims": {…}, "kid": …}` or `{"issuer":
// "certified"}` for a token, `{"rotate": "new-kid"}` for a new key of the first. It ends with its input.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { MockIssuer } from '../e2e/support/issuers.mjs';
import { CertifiedIssuer } from '../e2e/support/provider.mjs';

const AUDIENCE = 'api.example.com';

async function listening() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return [server, `http://127.0.0.1:${server.address().port}`];
}

const [mockServer, mockUrl] = await listening();
const mock = await MockIssuer.start(mockUrl);
mockServer.on('request', mock.answerer);

const [certifiedServer, certifiedUrl] = await listening();
const loopback = {
  host: (_, answerer) => certifiedServer.on('request', answerer),
  ask: async (_, { method, path, headers, body }) => {
    const { 'x-forwarded-proto': _proto, ...others } = headers;
    const answer = await fetch(`${certifiedUrl}${path}`, { method, headers: others, body });
    return { body: await answer.json() };
  },
};
const certified = CertifiedIssuer.start(certifiedUrl, loopback, { audience: AUDIENCE });

console.log(JSON.stringify({ mock: mockUrl, certified: certifiedUrl }));
for await (const line of createInterface({ input: process.stdin })) {
  const { issuer, claims, kid, rotate } = JSON.parse(line);
  if (rotate) {
    await mock.addKey('RS256', rotate);
    console.log('done');
  } else {
    console.log(issuer === 'mock' ? await mock.token({ aud: AUDIENCE, sub: 'deployer', ...claims }, { kid }) : await certified.token());
  }
}
process.exit(0);
