// What every Okta org here has in common: its authorization server, which is a real oidc-provider,
// the check of a token that it gave, and the journal of what arrived.
import { createHash, createPublicKey, randomUUID, verify } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { errors } from 'oidc-provider';
import { machineProvider, reasonOf, signingKey } from './provider.mjs';

const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]);

export function endToEnd(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

// `client` is {client_id, jwks, scopes}: the one service app, and what it is granted.
export function orgAuthority(host, client) {
  const issuer = `https://${host}`;
  const key = signingKey('RS256');
  const publicKey = createPublicKey({ key, format: 'jwk' });

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

  const provider = machineProvider(issuer, {
    keys: [key],
    clients: [{
      client_id: client.client_id,
      jwks: client.jwks,
      token_endpoint_auth_method: 'private_key_jwt',
    }],
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256'] },
    assertJwtClientAuthClaimsAndHeader: checkAssertion,
    resource: { identifier: issuer, audience: issuer, scopes: client.scopes, ttl: 3600 },
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

  return {
    authorize(req, res, body, entry) {
      // The audience of an assertion is the org's public URL, whatever port a test reached it by.
      req.headers.host = host;
      req.body = body;
      req.entry = entry;
      authorizationServer(req, res);
    },

    // The claims of an access token that this org's own key has signed and that holds now.
    claimsOf(authorization) {
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
      if (claims.iss !== issuer || claims.aud !== issuer) throw new Error('a foreign token');
      if (claims.exp <= Date.now() / 1000) throw new Error('an expired token');
      return claims;
    },
  };
}

export function refuse(res, entry, status, errorCode, errorSummary, reason) {
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

// Serves every request by `serve(req, res, body, entry)`, and enters each when it arrives; its
// status is read late, since oidc-provider sets it on its own.
export function journaled(server, host, serve) {
  const journal = [];

  function enter(req, res) {
    const { pathname, search } = new URL(req.url, `https://${host}`);
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

  async function take(req, res) {
    const entry = enter(req, res);
    const body = await buffer(req);
    entry.body_sha256 = createHash('sha256').update(body).digest('hex');
    await serve(req, res, body, entry);
  }

  server.on('request', (req, res) => {
    take(req, res).catch((error) => res.destroy(error));
  });
  return journal;
}
