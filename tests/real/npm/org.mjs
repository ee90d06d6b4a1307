// An Okta org: its org authorization server is a real oidc-provider, its management API is
// emulate's Okta service, and between them stands a checker that is stricter than Okta itself:
// a token must carry exactly the scope that the operation needs, and no other.
//
// Options: {tls: {cert, key}, client: {client_id, jwks, scopes}, seed}; `scopes` are those granted
// to the client, `seed` is emulate's own seed for its Okta service.
import { createHash, createPublicKey, randomUUID, verify } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';
import { createEmulator } from 'emulate';
import { errors } from 'oidc-provider';
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';
import { machineProvider, reasonOf, signingKey } from './provider.mjs';

const HOST = 'acme.okta.example';
const ISSUER = `https://${HOST}`;

// Written by hand from Okta's reference, so that it owes nothing to the catalogue under test.
const OPERATIONS = [
  ['GET', /^\/api\/v1\/users$/, 'okta.users.read'],
  ['GET', /^\/api\/v1\/users\/[^/]+$/, 'okta.users.read'],
  ['POST', /^\/api\/v1\/users$/, 'okta.users.manage'],
  ['POST', /^\/api\/v1\/users\/[^/]+\/lifecycle\/deactivate$/, 'okta.users.manage'],
  ['POST', /^\/api\/v1\/users\/[^/]+\/roles$/, 'okta.roles.manage'],
  ['GET', /^\/api\/v1\/groups$/, 'okta.groups.read'],
  ['POST', /^\/api\/v1\/groups$/, 'okta.groups.manage'],
  ['GET', /^\/api\/v1\/apps$/, 'okta.apps.read'],
  ['GET', /^\/api\/v1\/apps\/[^/]+$/, 'okta.apps.read'],
];

const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]);

const { tls, client, seed } = await readOptions();
const key = signingKey('RS256');
const publicKey = createPublicKey({ key, format: 'jwk' });
const journal = [];

// --- the org authorization server

function checkScopes(requested) {
  const refused = [...requested].find((scope) => !client.scopes.includes(scope));
  if (refused || requested.size === 0) {
    throw new errors.InvalidScope('scopes must be named, and granted to the client', refused);
  }
}

// Okta refuses an assertion that lives for more than an hour; oidc-provider alone would take it.
function checkAssertion(ctx, claims) {
  if (claims.exp > Date.now() / 1000 + 3600) {
    throw new errors.InvalidClientAuth('the client_assertion lives for more than an hour');
  }
}

const provider = machineProvider(ISSUER, {
  keys: [key],
  clients: [{
    client_id: client.client_id,
    jwks: client.jwks,
    token_endpoint_auth_method: 'private_key_jwt',
  }],
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256'] },
  assertJwtClientAuthClaimsAndHeader: checkAssertion,
  resource: { identifier: ISSUER, audience: ISSUER, scopes: client.scopes, ttl: 3600 },
  checkScopes,
  routes: { token: '/oauth2/v1/token', jwks: '/oauth2/v1/keys' },
});
provider.on('grant.success', (ctx) => {
  ctx.req.entry.scope = ctx.oidc.entities.ClientCredentials.scope;
});
provider.on('grant.error', (ctx, error) => {
  ctx.req.entry.reason = reasonOf(error);
});
const authorizationServer = provider.callback();

function authorize(req, res, body) {
  // The audience of an assertion is the org's public URL, whatever port a test has reached it by.
  req.headers.host = HOST;
  req.body = body;
  authorizationServer(req, res);
}

// --- the checker

// The claims of an access token that this org's own key has signed and that holds now.
function claimsOf(authorization) {
  const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
  if (!token) throw new Error('no bearer token');
  const [head, payload, signature] = token.split('.');
  const { alg, kid, typ } = JSON.parse(Buffer.from(head, 'base64url'));
  if (alg !== key.alg || kid !== key.kid || typ !== 'at+jwt') throw new Error('a foreign key');
  const signed = Buffer.from(`${head}.${payload}`);
  if (!verify('sha256', signed, publicKey, Buffer.from(signature, 'base64url'))) {
    throw new Error('a bad signature');
  }
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  if (claims.iss !== ISSUER || claims.aud !== ISSUER) throw new Error('a foreign token');
  if (claims.exp <= Date.now() / 1000) throw new Error('an expired token');
  return claims;
}

function refuse(res, entry, status, errorCode, errorSummary, reason) {
  entry.reason = reason;
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify({
    errorCode,
    errorSummary,
    errorLink: errorCode,
    errorId: `oae${randomUUID()}`,
    errorCauses: [{ errorSummary: reason }],
  }));
}

function manage(req, res, body, entry) {
  try {
    entry.scope = claimsOf(req.headers.authorization).scope;
  } catch (error) {
    refuse(res, entry, 401, 'E0000011', 'Invalid token provided', error.message);
    return;
  }
  const operation = OPERATIONS.find(
    ([method, path]) => method === req.method && path.test(entry.path),
  );
  if (!operation) {
    refuse(res, entry, 404, 'E0000007', 'Not found: Resource not found', 'no such operation here');
    return;
  }
  const [, , needed] = operation;
  if (entry.scope !== needed) {
    const reason = `the operation needs exactly "${needed}", the token has "${entry.scope}"`;
    const summary = 'You do not have permission to perform the requested action';
    refuse(res, entry, 403, 'E0000006', summary, reason);
    return;
  }
  forward(req, res, body);
}

// --- the management API

// emulate tells only the base URL that it advertises, so its port is seen as it begins to listen.
let emulatorPort;
subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => {
  emulatorPort ??= server.address().port;
});
const emulator = await createEmulator({
  service: 'okta',
  port: 0,
  hostname: '127.0.0.1',
  baseUrl: ISSUER,
  seed: { okta: seed },
});

// emulate's sample app lacks fields that every app at Okta has; for want of them Okta's own SDK
// rejects the whole list of apps.
async function removeSampleApp() {
  const call = (method, path) => fetch(`http://127.0.0.1:${emulatorPort}/api/v1/apps${path}`, {
    method,
    headers: { authorization: 'Bearer any' },
  });
  const apps = await (await call('GET', '')).json();
  const { id } = apps.find(({ name }) => name === 'oidc_client');
  await call('POST', `/${id}/lifecycle/deactivate`);
  await call('DELETE', `/${id}`);
}

await removeSampleApp();

function endToEnd(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

function forward(req, res, body) {
  const request = http.request({
    host: '127.0.0.1',
    port: emulatorPort,
    method: req.method,
    path: req.url,
    headers: { ...endToEnd(req.headers), host: HOST },
  }, (answer) => {
    res.writeHead(answer.statusCode, endToEnd(answer.headers));
    answer.pipe(res);
  });
  request.on('error', (error) => res.destroy(error));
  request.end(body);
}

// --- what the test reads

// Entered when a request arrives; its status is read late, since oidc-provider sets it on its own.
function enter(req, res) {
  const { pathname, search } = new URL(req.url, ISSUER);
  const entry = {
    method: req.method,
    path: pathname,
    query: search.slice(1),
    host: req.headers.host ?? null,
    scope: null,
    reason: null,
    body_sha256: null,
    get status() {
      return res.headersSent ? res.statusCode : null;
    },
  };
  journal.push(entry);
  return entry;
}

async function serve(req, res) {
  const entry = enter(req, res);
  const body = await buffer(req);
  entry.body_sha256 = createHash('sha256').update(body).digest('hex');
  if (entry.path.startsWith('/api/')) {
    manage(req, res, body, entry);
  } else {
    req.entry = entry;
    authorize(req, res, body);
  }
}

const server = tlsServer(tls).on('request', (req, res) => {
  serve(req, res).catch((error) => res.destroy(error));
});
const port = await listen(server);
const control = await listenForControl({
  'GET /journal': () => journal,
  'POST /journal/clear': () => { journal.length = 0; },
  'POST /reset': () => {
    emulator.reset();
    return removeSampleApp();
  },
});
ready({ port, control });
