// An Okta org that has every operation of an OpenAPI description: Prism checks each request against
// the description and answers with what it says; the org's authorization server is oidc-provider.
// Prism takes any token; the checker asks for the org's own, with the scopes of the description.
//
// Options: {tls: {cert, key}, clients: [{client_id, jwks, scopes, dpop}], description}: its path.
// What the journal tells of a call beside is which operation it is, as Prism's router has it.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createLogger } from '@stoplight/prism-core';
import { getHttpOperationsFromSpec } from '@stoplight/prism-http';
import prismRouter from '@stoplight/prism-http/dist/router/index.js';
import { createServer } from '@stoplight/prism-http-server';
import { orgAuthority } from './authority.mjs';
import { endToEnd, journaled } from './journal.mjs';
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';

const HOST = 'acme.okta.example';

const { tls, clients, description } = await readOptions();
const authority = orgAuthority(HOST, clients);

// By an operation's id the scopes of its own that a token must have.
const needs = new Map(
  Object.values(JSON.parse(readFileSync(description)).paths)
    .flatMap((path) => Object.values(path))
    .map(({ operationId, security }) => [
      operationId,
      security?.find(({ oauth2 }) => oauth2)?.oauth2 ?? [],
    ]),
);

const operations = await getHttpOperationsFromSpec(description);
const prism = createServer(operations, {
  cors: false,
  config: {
    isProxy: false,
    validateRequest: true,
    validateResponse: false,
    checkSecurity: true,
    errors: false,
    mock: { dynamic: false },
  },
  components: { logger: createLogger('prism', { level: 'silent' }) },
});
const prismAt = new URL(await prism.listen(0, '127.0.0.1'));

const segments = (path) => path.split('/').length;
const bySegments = Map.groupBy(operations, ({ path }) => segments(path));

// The operation that Prism takes a call for; null if it is none of the description's. Prism's
// router looks at all that it is given, which takes long.
function operationOf(method, path) {
  const found = prismRouter.default({
    resources: bySegments.get(segments(path)) ?? [],
    input: { method: method.toLowerCase(), url: { path } },
  });
  return found._tag === 'Right' ? found.right.iid : null;
}

function forward(req, res, body, entry) {
  const headers = endToEnd(req.headers);
  // Prism knows no scheme for OAuth 2.0 but this one; the checker has looked at it before.
  if (headers.authorization) headers.authorization = headers.authorization.replace('DPoP', 'Bearer');
  const request = http.request({
    agent: false, // no connection is used again that Prism may be about to end
    host: prismAt.hostname,
    port: prismAt.port,
    method: req.method,
    path: req.url,
    headers,
  }, (answer) => {
    entry.violations = answer.headers['sl-violations'] ?? null;
    res.writeHead(answer.statusCode, endToEnd(answer.headers));
    answer.pipe(res);
  });
  request.on('error', (error) => res.destroy(error));
  request.end(body);
}

async function serve(req, res, body, entry) {
  await authority.guarded(req, res, entry, async () => {
    if (authority.isFor(entry.path)) {
      await authority.authorize(req, res, body, entry);
      return;
    }
    entry.operation = operationOf(req.method, entry.path);
    if (req.headers.authorization !== undefined) {
      const needed = needs.get(entry.operation) ?? [];
      if (await authority.access(req, res, entry, needed)) return;
    }
    forward(req, res, body, entry);
  });
}

const server = tlsServer(tls);
const journal = journaled(server, HOST, serve);
const port = await listen(server);
const control = await listenForControl({
  'GET /journal': () => journal,
  'POST /journal/clear': () => { journal.length = 0; },
  ...authority.actions,
});
ready({ port, control });
