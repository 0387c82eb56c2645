-- +goose Up
CREATE TABLE registry_came ( -- every blob that a push brought, also when no repository has it any more
	blob TEXT PRIMARY KEY    -- sha256
);
INSERT INTO registry_came (blob) SELECT blob FROM registry_blob UNION SELECT blob FROM registry_manifest;
