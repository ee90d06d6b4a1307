-- The tables of the store that several gateways share. Texts that come from outside are kept as
-- their UTF-8 bytes: PostgreSQL's own text holds no NUL. What is looked up by them goes through a
-- digest, because an index holds no long value.

CREATE TABLE mark (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    revision bigint NOT NULL DEFAULT 0,
    place text,
    doubted boolean NOT NULL DEFAULT false,
    site bytea
);

INSERT INTO mark DEFAULT VALUES;

CREATE TABLE gateway (
    name text PRIMARY KEY,
    run text NOT NULL
);

CREATE TABLE kept (
    kind text NOT NULL,
    id bytea NOT NULL,
    live boolean NOT NULL,
    at double precision NOT NULL,
    subject bytea,
    fingerprint bytea,
    under bytea,
    revision bigint NOT NULL,
    document bytea NOT NULL
);

CREATE UNIQUE INDEX kept_of ON kept (kind, sha256(id));
CREATE UNIQUE INDEX one_pending ON kept (sha256(subject), sha256(fingerprint))
    WHERE kind = 'request' AND live;
CREATE INDEX live ON kept (kind) WHERE live;
CREATE INDEX grants_of ON kept (sha256(subject)) WHERE kind = 'grant' AND live;
CREATE INDEX ended ON kept (at) WHERE NOT live;

CREATE TABLE taken (
    kind text NOT NULL,
    key bytea NOT NULL,
    until double precision NOT NULL
);

CREATE UNIQUE INDEX taken_once ON taken (kind, sha256(key));
CREATE INDEX taken_until ON taken (until);

CREATE TABLE counted (
    key bytea NOT NULL,
    at double precision NOT NULL,
    until double precision NOT NULL
);

CREATE INDEX counted_of ON counted (sha256(key), at);
CREATE INDEX counted_until ON counted (until);
