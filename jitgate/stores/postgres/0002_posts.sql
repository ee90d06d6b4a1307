-- Where channels show access requests. What is asked for by its access request goes through the same
-- digest as that.

CREATE TABLE post (
    channel text NOT NULL,
    request bytea NOT NULL,
    slot bytea NOT NULL,
    place bytea NOT NULL,
    shown bigint NOT NULL,
    gave bytea,
    due double precision,
    over boolean NOT NULL,
    document bytea NOT NULL,
    revision bigint NOT NULL
);

CREATE UNIQUE INDEX post_of ON post (channel, sha256(request), sha256(slot));
CREATE INDEX post_at ON post (channel, sha256(place));
CREATE INDEX post_open ON post (channel) WHERE NOT over;
CREATE INDEX uses_of ON kept (sha256(under)) WHERE kind = 'use';
