// The end of the job: git forgets the token, and the service revokes it. Failing here does not fail the job: the token expires within
// the hour.

import { forgetGit } from './git.mjs';
import { ask, objectOf, patiently } from './requests.mjs';

/** A job that has finished is not kept waiting for longer. */
const MAX_WAIT_MS = 20_000;

export async function end(runner) {
  try {
    await forgetGit(runner);
  } catch (error) {
    runner.warning(`git's settings were not restored: ${error.message}`);
  }
  const held = objectOf(runner.state('held') ?? '');
  if (held === undefined) {
    runner.info('there is no token to revoke');
    return;
  }
  runner.mask(held.token);
  try {
    runner.info(await revoke(held, runner));
  } catch (error) {
    runner.warning(`the token was not revoked and expires on its own: ${error.message}`);
  }
}

/**
 * Resolves to a line that says who revoked the token. If the service cannot, this asks GitHub itself, unless the token
 * is a session of the proxy, which GitHub must not see.
 */
export async function revoke({ token, service, api }, runner) {
  const init = (method) => ({ method, headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json', 'user-agent': 'octo-sts-worker-action' } });
  let problem;
  try {
    const answer = await patiently(() => ask('the service', `${service}/sts/revoke`, init('POST')), runner, { maxWait: MAX_WAIT_MS });
    if (answer.status === 204) return 'the token is revoked';
    problem = `the service answered with ${answer.status}`;
  } catch (error) {
    problem = error.message;
  }
  if (!api) throw new Error(problem);
  const answer = await ask('GitHub', `${api}/installation/token`, init('DELETE'));
  // 401: somebody has already revoked it.
  if (answer.status !== 204 && answer.status !== 401) throw new Error(`${problem}, and GitHub with ${answer.status}`);
  return `the token is revoked by GitHub itself: ${problem}`;
}
