-- Items of key-value stores: facts of kind `item`, with times of their own.

-- When the item began and was put last, which other versions and puts of the same value do not tell; and how many
-- minutes it lives after it was read.
alter table {schema}.fact add column began_at timestamptz;
alter table {schema}.fact add column touched_at timestamptz;
alter table {schema}.fact add column ttl double precision;

-- For searches over all owners of the tenant; those of one owner go by fact_standing_key.
create index fact_item on {schema}.fact (tenant, fact_key) where retired_at is null and kind = 'item';
