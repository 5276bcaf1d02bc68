"""Many services at once whose end is agreed, as the database of contracts has them; for nights that are long."""

PRODUCT = """
    insert into service_products (id, version, code, kind, label, status, terms, term_options, conditions_version,
        created_at)
    values (uuidv7(), 1, 'many', 'service', 'Line', 'offered', '{"monthly_fee": 10000}', '{}', '1', now())
    on conflict do nothing
"""

CONTRACTS = """
    insert into service_contracts (id, version, customer_id, partner_id, kind, state, product_id, product_code, label,
        terms, currency, monthly_fee, one_off_open, starts_on, anchor_day, last_day, time_zone, invoicer, order_id,
        created_at)
    select uuidv7(), 2, c.id, c.partner_id, 'service', 'active', p.id, p.code, 'Line ' || n, p.terms, 'EUR', 10000, 0,
        cast(:last_day as date) - 364, extract(day from cast(:last_day as date) - 364), :last_day,
        'Europe/Amsterdam', 'platform', uuidv7(), now()
    from generate_series(1, :n) as n, customers c, service_products p where c.id = :customer_id and p.code = 'many'
"""

TERMINATIONS = """
    insert into terminations (id, version, request_id, contract_id, customer_id, partner_id, label, time_zone, currency,
        state, waiting_since, reason, requested_at, requested_by, requested_on, regular_end, last_day, early, quote,
        agreed_at, agreed_by, agreed_hash, reminders, finance_alerted, ends_at)
    select uuidv7(), 3, uuidv7(), c.id, c.customer_id, c.partner_id, c.label, c.time_zone, c.currency, 'scheduled',
        now(), 'other', now(), 'test', c.starts_on, c.last_day, c.last_day, false,
        jsonb_build_object('last_day', c.last_day, 'regular_end', c.last_day, 'currency', 'EUR', 'lines', '[]'::jsonb,
            'total', 0),
        now(), 'test', repeat('0', 64), 0, 0, (c.last_day + 1)::timestamp at time zone c.time_zone
    from service_contracts c
    where c.product_code = 'many' and c.state = 'active' and c.last_day = :last_day
        and not exists (select 1 from terminations t where t.contract_id = c.id)
"""

SCHEDULED = (PRODUCT, CONTRACTS, TERMINATIONS)
"""In this order, with `n`, `customer_id` and `last_day`."""
