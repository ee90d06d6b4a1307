// An oidc-provider for machines only: client_credentials, and signed JWTs as access tokens.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider } from 'oidc-provider';

const KEY_SHAPE = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
export const ALGORITHMS = Object.keys(KEY_SHAPE);

export function signingKey(alg, kid = randomUUID()) {
  const { privateKey } = generateKeyPairSync(...KEY_SHAPE[alg]);
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg };
}

// `keys` are private JWKs and the first one signs; `resource` is what the tokens are good for:
// its identifier (a URI, as oidc-provider insists), audience, scopes and the tokens' ttl.
// `checkScopes(requested, client)` may throw one of oidc-provider's errors; `features` are more ones.
export function machineProvider(issuer, { keys, clients, resource, checkScopes, features, ...more }) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    responseTypes: [],
    ttl: { ClientCredentials: resource.ttl },
    // No ID token is ever signed here, but a client's algorithm for it must be one of the keys'.
    clientDefaults: { id_token_signed_response_alg: keys[0].alg },
    clients: clients.map((client) => ({
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      ...client,
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource.identifier,
        getResourceServerInfo: (ctx) => {
          checkScopes?.(ctx.oidc.requestParamScopes, ctx.oidc.client.clientId);
          return {
            audience: resource.audience,
            scope: resource.scopes.join(' '),
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: keys[0].alg, kid: keys[0].kid } },
          };
        },
      },
      ...features,
    },
    ...more,
  });
  // The client is told little, so what really was wrong goes to standard error.
  provider.on('grant.error', (ctx, error) => console.error(reasonOf(error)));
  provider.on('server_error', (ctx, error) => console.error(error));
  return provider;
}

export function reasonOf(error) {
  return error.error_detail ?? error.error_description ?? error.message;
}
