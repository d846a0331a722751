// The smoke test: what a caller sees from outside. Each check resolves to `undefined`, or to what is wrong.

const TIMEOUT_MS = 10_000;

/** `{name, problem}` of each check that fails. `hasIssuerKey`: the service has metadata to show. */
export async function smoke(base, { domain, hasIssuerKey }) {
  const checks = {
    '/healthz': () => answers(`${base}/healthz`, 200, ({ status }) => (status === 'ok' ? undefined : 'does not say `ok`')),
    '/readyz': () => answers(`${base}/readyz`, 200, ready),
    'an exchange without a token': () => answers(`${base}/sts/exchange?scope=acme/app&identity=smoke`, 401, ({ error }) => (error === 'invalid_token' ? undefined : 'is refused by somebody else')),
    ...(hasIssuerKey
      ? { metadata: () => answers(`${base}/.well-known/openid-configuration`, 200, ({ issuer }) => (issuer === `https://${domain}` ? undefined : `name the issuer \`${issuer}\``)) }
      : {}),
  };
  const found = await Promise.all(Object.entries(checks).map(async ([name, check]) => ({ name, problem: await check() })));
  return found.filter(({ problem }) => problem !== undefined);
}

function ready({ status, missing = [], malformed = [] }) {
  if (status === 'ready') return undefined;
  const names = [...missing.map((name) => `\`${name}\` is missing`), ...malformed.map((name) => `\`${name}\` is malformed`)];
  return `is not ready: ${names.join(', ') || 'no setting is named'}`;
}

async function answers(url, status, judge) {
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      return `answers with ${response.status} and something that is no JSON`;
    }
    const problem = judge(body);
    if (response.status === status) return problem;
    return url.endsWith('/readyz') && problem ? problem : `answers with ${response.status} instead of ${status}`;
  } catch (error) {
    return `does not answer: ${error.cause?.code ?? error.cause?.message ?? error.message}`;
  }
}
