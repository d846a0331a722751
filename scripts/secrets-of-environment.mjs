// Prints secrets from the environment as one JSON object for `wrangler secret bulk`, so that in CI no secret passes through a
// shell. The arguments are their names. An unset or empty one is an error: a secret missing in CI must not become an empty
// secret of the service.

const names = process.argv.slice(2);
const absent = names.filter((name) => !process.env[name]);
if (names.length === 0 || absent.length > 0) {
  console.error(names.length === 0 ? 'name the secrets: GITHUB_APP_ID GITHUB_APP_PRIVATE_KEY' : `not set in the environment: ${absent.join(', ')}`);
  process.exitCode = 1;
} else {
  console.log(JSON.stringify(Object.fromEntries(names.map((name) => [name, process.env[name]]))));
}
