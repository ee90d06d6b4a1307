-- Lists are read page by page, in the order of their time: a page must not read and sort all the rest.

DROP INDEX live;
CREATE INDEX live ON kept (kind, at) WHERE live;
