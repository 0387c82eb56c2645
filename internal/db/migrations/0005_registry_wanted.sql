-- +goose Up
ALTER TABLE registry_manifest ADD COLUMN wanted BIGINT NOT NULL DEFAULT 0; -- when somebody last wanted it to stay; 0 = not noted yet
