-- The engine's tables. Rules that hold for all of them:
--   * money is bigint in minor units; times are timestamptz in UTC;
--   * a merchant-owned table's primary key begins with merchant_id, and no key crosses merchants;
--   * text keys compare bytewise (COLLATE "C"): the embedded server has no ICU;
--   * bulk tables (operation, outcome, payment, transfer, row_text) carry CHECKs but no foreign
--     keys and no triggers: those cost seconds per million rows.

-- One row: which schema this is, since which version programs can use it (a migration that only
-- adds leaves that as it was), and which key set and blob store belong to it.
CREATE TABLE installation (
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    schema_version integer NOT NULL,
    readable_from integer NOT NULL,
    key_set_id text,
    blob_store_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation (schema_version, readable_from) VALUES (1, 1);

-- Who hands in batches, and for which merchants it may act.
CREATE TABLE sender (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE merchant (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    title text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sender_merchant (
    sender_id integer NOT NULL REFERENCES sender (id),
    merchant_id integer NOT NULL REFERENCES merchant (id),
    PRIMARY KEY (sender_id, merchant_id)
);

-- A merchant's account at a processor. state 'closing' = its processor did not take the last close
-- of day; closed_by = the operation that closes it; settings = what its connector must be told;
-- business_day = the day that a close opened, where that is later than the calendar says.
CREATE TABLE gate (
    merchant_id integer NOT NULL REFERENCES merchant (id),
    id integer GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL,
    connector text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('test', 'live')),
    currencies text [] NOT NULL CHECK (cardinality(currencies) > 0),
    zone text NOT NULL DEFAULT 'UTC',
    cut_off time NOT NULL DEFAULT '00:00',
    capabilities jsonb NOT NULL DEFAULT '{}',
    settings jsonb NOT NULL DEFAULT '{}',
    is_default boolean NOT NULL DEFAULT FALSE,
    state text COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing')),
    closed_by bigint CHECK ((state = 'closing') = (closed_by IS NOT NULL)),
    business_day date,
    close_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, name)
);
CREATE UNIQUE INDEX gate_default ON gate (merchant_id) WHERE is_default;
CREATE INDEX gate_closing ON gate (id) WHERE state = 'closing';

-- The vault: one row for each card or bank account number of a merchant. The id is a keyed
-- fingerprint of the number, sealed is the number under Tink AEAD with the id as context.
CREATE TABLE number (
    merchant_id integer NOT NULL,
    id uuid NOT NULL,
    sealed bytea NOT NULL,
    brand text COLLATE "C" NOT NULL,
    masked text COLLATE "C" NOT NULL,
    bank_code text COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE customer (
    merchant_id integer NOT NULL REFERENCES merchant (id),
    id integer GENERATED ALWAYS AS IDENTITY,
    reference text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, reference)
);

-- A customer's means in the order of their rank: the wallet. Rank 1 is the default.
CREATE TABLE customer_means (
    merchant_id integer NOT NULL,
    customer_id integer NOT NULL,
    rank smallint NOT NULL CHECK (rank > 0),
    number_id uuid NOT NULL,
    means text COLLATE "C" NOT NULL CHECK (means IN ('card', 'bank')),
    expiry smallint,
    account_type text COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, customer_id, rank),
    FOREIGN KEY (merchant_id, customer_id) REFERENCES customer (merchant_id, id)
);

-- Batch numbers: files, system batches and the blocks of ids that single calls use.
CREATE SEQUENCE batch_number AS bigint MAXVALUE 8589934591;

-- pause_reason, resume_at: a breaker paused it, and it goes on by itself then.
CREATE TABLE batch (
    id bigint PRIMARY KEY,
    sender_id integer NOT NULL REFERENCES sender (id),
    merchant_id integer NOT NULL REFERENCES merchant (id),
    gate_id integer NOT NULL,
    dialect text COLLATE "C" NOT NULL,
    kind text COLLATE "C",
    file_name text NOT NULL,
    content_hash text COLLATE "C" NOT NULL,
    occurrence integer NOT NULL DEFAULT 0,
    holds_content boolean NOT NULL DEFAULT TRUE,
    byte_count bigint NOT NULL,
    shape jsonb NOT NULL,
    columns text [] NOT NULL,
    policy text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (
        state IN (
            'received', 'checking', 'refused', 'ready', 'awaiting_approval', 'scheduled', 'running',
            'waiting', 'pausing', 'paused', 'cancelling', 'cancelled', 'completed'
        )
    ),
    refusal text,
    pause_reason text,
    resume_at timestamptz,
    nonce bytea NOT NULL,
    wrapped_key bytea,
    row_count bigint NOT NULL DEFAULT 0,
    has_subjects boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL,
    released_at timestamptz,
    finished_at timestamptz,
    CHECK ((state IN ('refused', 'cancelled', 'completed')) = (finished_at IS NOT NULL)),
    CONSTRAINT batch_key_ends CHECK (finished_at IS NULL OR wrapped_key IS NULL)
);
CREATE INDEX batch_unfinished ON batch (id) WHERE finished_at IS NULL;
-- The same bytes from the same sender only once, also for two uploads at the same moment. A batch
-- that was refused or cancelled before it sent anything lets go of its content; --again takes the
-- next occurrence.
CREATE UNIQUE INDEX batch_content ON batch (sender_id, content_hash, occurrence)
WHERE holds_content;

-- A part of a batch that is loaded, claimed and settled at once. kind 'range' covers the lines
-- first_line..last_line; kind 'ordered' covers the rows that operation_subject assigns to it. A
-- chunk is taken when those of lower phases are done: rows that change a list or a gate are phases
-- of their own. kind 'children' covers operations that a row of the file made, at lines behind
-- those of any file; kind 'totals' is that row again, behind its children.
-- 'sending' = a worker (holder: an advisory lock of its connection) has calls of it
-- under way, until deadline_at; attempt counts how often it was taken, and fences off a worker that
-- lost it. 'waiting' = only rows whose outcome is unknown, and their followers, are left.
CREATE TABLE chunk (
    batch_id bigint NOT NULL,
    number integer NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('range', 'ordered', 'children', 'totals')),
    first_line bigint NOT NULL,
    last_line bigint NOT NULL,
    merchant_ids integer [] NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (
        state IN ('loaded', 'sending', 'waiting', 'done', 'cancelled')
    ),
    phase integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    holder bigint,
    deadline_at timestamptz,
    row_count integer NOT NULL,
    rejected_count integer NOT NULL,
    fault_count integer NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_id, number),
    CHECK ((state = 'sending') = (deadline_at IS NOT NULL))
);
CREATE INDEX chunk_waiting ON chunk (batch_id) WHERE state = 'waiting';
CREATE INDEX chunk_open ON chunk (batch_id, phase, number) WHERE state IN ('loaded', 'sending');

-- What was asked for, as it was accepted. Insert only. merchant_id 0 = a rejected row whose
-- merchant could not be told; it is kept under its sender. parent_id = the operation that made it.
CREATE TABLE operation (
    merchant_id integer NOT NULL,
    id bigint NOT NULL,
    batch_id bigint NOT NULL,
    line bigint NOT NULL,
    sender_id integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    gate_id integer NOT NULL,
    accepted boolean NOT NULL,
    payment_id bigint,
    payment_reference text COLLATE "C",
    amount_minor bigint CHECK (amount_minor >= 0),
    currency text COLLATE "C",
    reference text COLLATE "C",
    idempotency_key text COLLATE "C",
    number_id uuid,
    brand text COLLATE "C",
    masked text COLLATE "C",
    expiry smallint,
    bank_code text COLLATE "C",
    account_type text COLLATE "C",
    sec_code text COLLATE "C",
    tax_minor bigint,
    surcharge_minor bigint,
    tip_minor bigint,
    shipping_minor bigint,
    final boolean,
    has_secret boolean NOT NULL,
    created_at timestamptz NOT NULL,
    parent_id bigint,
    PRIMARY KEY (merchant_id, id)
);
CREATE INDEX operation_reference ON operation (merchant_id, reference)
WHERE reference IS NOT NULL AND accepted;

-- How it ended. Insert only, once for each operation: the primary key is the rule.
CREATE TABLE outcome (
    merchant_id integer NOT NULL,
    id bigint NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (
        state IN ('rejected', 'replayed', 'approved', 'declined', 'failed', 'cancelled')
    ),
    reason text COLLATE "C",
    message text,
    payment_id bigint,
    status text COLLATE "C",
    approved_minor bigint,
    response text COLLATE "C",
    processor_code text COLLATE "C",
    processor_text text COLLATE "C",
    approval_code text COLLATE "C",
    avs_result text COLLATE "C",
    cvv_result text COLLATE "C",
    scheme_transaction_id text COLLATE "C",
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, id)
);
-- What was done to a payment. The row that made it has the payment's own id and needs no entry.
CREATE INDEX outcome_follow_up ON outcome (merchant_id, payment_id) WHERE payment_id <> id;

-- One try of an operation at a gate that is really outside, written before the first byte leaves.
-- act is the kind as which it is done, payment_id what it acts on. An attempt with an outcome is
-- over, whatever its state. chunk_number is null for single calls: those are unknown when
-- next_look_at is past, those of a chunk when the chunk is taken from the worker that sent them.
-- asked_until: somebody asks the processor about it right now, and nobody else does before then.
-- sent_at: later than this it was not sent, for those that were lost or sent again.
CREATE TABLE attempt (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    number smallint NOT NULL DEFAULT 1,
    batch_id bigint NOT NULL,
    chunk_number integer,
    gate_id integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    act text COLLATE "C" NOT NULL,
    amount_minor bigint,
    payment_id bigint,
    state text COLLATE "C" NOT NULL CHECK (state IN ('sending', 'unknown', 'person', 'known')),
    looks smallint NOT NULL DEFAULT 0,
    next_look_at timestamptz,
    asked_until timestamptz,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    PRIMARY KEY (merchant_id, operation_id, number)
);
CREATE INDEX attempt_due ON attempt (next_look_at)
WHERE state = 'unknown' OR (state = 'sending' AND chunk_number IS NULL);
CREATE INDEX attempt_in_doubt ON attempt (batch_id) WHERE state IN ('unknown', 'person');

-- How fast calls go out: a bucket of tokens for each gate and for each processor that has a limit,
-- or was asked too much. Workers take what some tenths of a second bring, so it is no hot row.
CREATE TABLE pace (
    name text COLLATE "C" PRIMARY KEY,
    per_second double precision CHECK (per_second > 0),
    tokens double precision NOT NULL,
    filled_at timestamptz NOT NULL,
    slowed_per_second double precision CHECK (slowed_per_second > 0),
    slowed_at timestamptz,
    slowed_from_per_second double precision CHECK (slowed_from_per_second > 0),
    held_until timestamptz
);

-- Whether calls go out at a gate: 'open' = none, until retry_at; 'probing' = a few, to see; trips =
-- how often it opened in a row.
CREATE TABLE breaker (
    merchant_id integer NOT NULL,
    gate_id integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('closed', 'open', 'probing')),
    trips integer NOT NULL,
    reason text NOT NULL,
    opened_at timestamptz NOT NULL,
    retry_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, gate_id)
);

-- Which payment a follow-up acts on when its row named it by reference or when several rows of
-- the file act on the same one; chunk_number says which ordered chunk works it.
CREATE TABLE operation_subject (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    payment_id bigint,
    reason text COLLATE "C",
    chunk_number integer,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX operation_subject_chunk ON operation_subject (batch_id, chunk_number);

-- The amounts of a payment: the truth, in minor units of its currency. Its id is the id of the
-- operation that made it; what was asked for stands there. business_day is a label; made_on is the
-- gate's calendar day, from which holds and captures are counted. scheme_transaction_id is that of
-- the card scheme, which later payments of its series are sent with.
CREATE TABLE payment (
    merchant_id integer NOT NULL,
    id bigint NOT NULL,
    gate_id integer NOT NULL,
    origin text COLLATE "C" NOT NULL,
    is_payout boolean NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (
        state IN (
            'pending', 'unknown', 'approved', 'declined', 'verified', 'filtered', 'challenged',
            'expired', 'transfer_pending', 'sent', 'in_collection', 'returned', 'mandate_once',
            'mandate_open', 'mandate_running', 'mandate_ended', 'mandate_cancelled',
            'recurring_active', 'recurring_paused', 'recurring_failed', 'recurring_stopped',
            'recurring_finished'
        )
    ),
    currency text COLLATE "C" NOT NULL,
    number_id uuid,
    expiry smallint,
    brand text COLLATE "C",
    scheme_transaction_id text COLLATE "C",
    business_day date NOT NULL,
    made_on date NOT NULL,
    authorized bigint NOT NULL CHECK (authorized >= 0),
    released bigint NOT NULL DEFAULT 0 CHECK (released >= 0),
    captured bigint NOT NULL DEFAULT 0 CHECK (captured >= 0),
    cancelled bigint NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    settled bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
    refunded bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    refund_settled bigint NOT NULL DEFAULT 0 CHECK (refund_settled >= 0),
    returned bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    charged_back bigint NOT NULL DEFAULT 0 CHECK (charged_back >= 0),
    represented bigint NOT NULL DEFAULT 0 CHECK (represented >= 0),
    -- A reversal that is prepared, and not completed or withdrawn yet.
    prepared bigint NOT NULL DEFAULT 0 CHECK (prepared >= 0),
    reserved_capture bigint NOT NULL DEFAULT 0 CHECK (reserved_capture >= 0),
    reserved_void bigint NOT NULL DEFAULT 0 CHECK (reserved_void >= 0),
    reserved_refund bigint NOT NULL DEFAULT 0 CHECK (reserved_refund >= 0),
    refund_excess_percent smallint NOT NULL DEFAULT 0 CHECK (refund_excess_percent >= 0),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, id),
    -- Without what is reserved: a capture may go above the hold, and is authorized when it is done.
    CONSTRAINT payment_capture_limit CHECK (captured + released <= authorized),
    CONSTRAINT payment_settle_limit CHECK (settled + cancelled <= captured),
    CONSTRAINT payment_refund_settle_limit CHECK (refund_settled <= refunded),
    CONSTRAINT payment_refund_limit CHECK (
        (refunded + reserved_refund) * 100
        <= (captured - cancelled) * (100 + refund_excess_percent)
    ),
    -- No more is prepared than may be released, cancelled or refunded.
    CONSTRAINT payment_prepared_limit CHECK (
        (prepared + refunded) * 100
        <= (authorized - released - cancelled) * (100 + refund_excess_percent)
    )
) WITH (fillfactor = 80);

-- Ledger: the accounts of each gate and currency, the transfers between them (insert only) and
-- one delta per account and chunk, which `fold` adds up.
CREATE TABLE account (
    merchant_id integer NOT NULL,
    id integer GENERATED ALWAYS AS IDENTITY,
    gate_id integer NOT NULL,
    currency text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, gate_id, currency, name)
);

CREATE TABLE transfer (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    number smallint NOT NULL,
    debit_account_id integer NOT NULL,
    credit_account_id integer NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (merchant_id, operation_id, number),
    CHECK (debit_account_id <> credit_account_id)
);

CREATE TABLE balance_delta (
    merchant_id integer NOT NULL,
    account_id integer NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    debit_minor numeric NOT NULL,
    credit_minor numeric NOT NULL,
    transfer_count bigint NOT NULL,
    PRIMARY KEY (merchant_id, account_id, id)
);

-- What a close of a gate's day moved, in each currency: captures that were not settled (sales),
-- refunds that were not and payouts (refunds), and what the processor answered. Numbers count the
-- closes of a gate as they end; reached_at = up to when it took what was due.
CREATE TABLE settlement (
    merchant_id integer NOT NULL,
    gate_id integer NOT NULL,
    number integer NOT NULL,
    currency text COLLATE "C" NOT NULL,
    operation_id bigint NOT NULL,
    business_day date NOT NULL,
    sale_count bigint NOT NULL CHECK (sale_count >= 0),
    sale_minor bigint NOT NULL CHECK (sale_minor >= 0),
    refund_count bigint NOT NULL CHECK (refund_count >= 0),
    refund_minor bigint NOT NULL CHECK (refund_minor >= 0),
    net_minor bigint NOT NULL,
    response text COLLATE "C",
    processor_code text COLLATE "C",
    processor_text text COLLATE "C",
    approval_code text COLLATE "C",
    reached_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, gate_id, number, currency),
    CHECK (net_minor = sale_minor - refund_minor)
);
CREATE INDEX settlement_operation ON settlement (merchant_id, operation_id);

-- A close of day at processors outside, while it is under way: its attempt is unknown from the
-- claim to the last answer. draining = calls at its gates may be under way until drain_until;
-- told = what was due at told_at is reserved, and the processor is told. phase is that of the row's
-- chunk.
CREATE TABLE closing (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    gate_ids integer [] NOT NULL,
    phase integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('draining', 'told')),
    drain_until timestamptz NOT NULL,
    told_at timestamptz CHECK ((state = 'told') = (told_at IS NOT NULL)),
    expected_sale_count bigint,
    expected_sale_minor bigint,
    expected_refund_count bigint,
    expected_refund_minor bigint,
    left_open text NOT NULL DEFAULT '',
    PRIMARY KEY (merchant_id, operation_id)
);

-- What processors are told of a close: a call for each gate and currency, with its own key, which
-- is stored before the first byte leaves; result is null until the answer is known.
CREATE TABLE closing_call (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    number integer NOT NULL,
    gate_id integer NOT NULL,
    currency text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    business_day date NOT NULL,
    sale_count bigint NOT NULL,
    sale_minor bigint NOT NULL,
    refund_count bigint NOT NULL,
    refund_minor bigint NOT NULL,
    result text COLLATE "C" CHECK (result IN ('approved', 'declined', 'failed')),
    response text COLLATE "C",
    processor_code text COLLATE "C",
    processor_text text COLLATE "C",
    approval_code text COLLATE "C",
    PRIMARY KEY (merchant_id, operation_id, number)
);

-- What a close takes from each payment once its answer is known. What was taken stands in the
-- payment's reserved_void meanwhile, so that nobody cancels it.
CREATE TABLE settling (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    taken bigint NOT NULL CHECK (taken >= 0),
    refunded bigint NOT NULL CHECK (refunded >= 0),
    PRIMARY KEY (merchant_id, operation_id, payment_id)
);

-- A caller's own idempotency key, kept for ever, with a keyed hash of what was asked.
CREATE TABLE idempotency (
    merchant_id integer NOT NULL,
    face text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    values_hash text COLLATE "C" NOT NULL,
    operation_id bigint NOT NULL,
    PRIMARY KEY (merchant_id, face, key)
);

-- The rows' own text in the file's column order, cells joined by the unit separator (U+001F),
-- without numbers and secrets. Retention drops its partitions.
CREATE TABLE row_text (
    batch_id bigint NOT NULL,
    line bigint NOT NULL,
    created_on date NOT NULL,
    cells text NOT NULL
) PARTITION BY RANGE (created_on);
CREATE INDEX row_text_line ON row_text (batch_id, line);
CREATE TABLE row_text_default PARTITION OF row_text DEFAULT;

-- Makes the partitions of a month and of the one after it, where they are not there. A row must
-- never fall into the default partition: its month could not be made any more. As the one that
-- drops them it acts for the owner of the tables: a worker's role need not own any.
CREATE FUNCTION make_row_text_month(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date;
    partition text;
BEGIN
    FOREACH first IN ARRAY ARRAY[month, (month + interval '1 month')::date] LOOP
        partition := 'row_text_' || to_char(first, 'YYYY_MM');
        IF to_regclass(partition) IS NULL THEN
            -- IF NOT EXISTS does not hold against another one at the same moment.
            PERFORM pg_advisory_xact_lock(7120310245);
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %I PARTITION OF row_text FOR VALUES FROM (%L) TO (%L)',
                partition, first, first + interval '1 month'
            );
        END IF;
    END LOOP;
END $$;

-- Drops the partitions of the months before a month, and gives their names.
CREATE FUNCTION drop_row_text_before(month date) RETURNS SETOF text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits AS i
        INNER JOIN pg_class AS c ON i.inhrelid = c.oid
        WHERE
            i.inhparent = 'row_text'::regclass
            AND c.relname ~ '^row_text_[0-9]{4}_[0-9]{2}$'
            AND to_date(right(c.relname, 7), 'YYYY_MM') < month
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        RETURN NEXT partition;
    END LOOP;
END $$;

-- Everything that is wrong with a row, not only the first thing.
CREATE TABLE row_error (
    batch_id bigint NOT NULL,
    line bigint NOT NULL,
    number smallint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    column_name text,
    value text,
    message text NOT NULL,
    PRIMARY KEY (batch_id, line, number)
);

-- CVVs of the rows first_line..last_line that have not been sent, sealed together under the
-- batch's data key; chunk_number is that of the block that they were loaded with. Settling a row
-- takes its secret out; the last one takes the block. created_at is the time when the file came:
-- from then on they may be kept for some hours only.
CREATE TABLE secret_block (
    batch_id bigint NOT NULL,
    chunk_number integer NOT NULL,
    first_line bigint NOT NULL,
    last_line bigint NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, chunk_number)
);

-- Facts: rows are only added, by the operation that they came with; what holds now follows from
-- them. Each table has the columns merchant_id, operation_id, payment_id (null = of no payment),
-- created_at and its own.

-- Comments, marks (fraud, acknowledged), documents and other words on a payment.
CREATE TABLE note (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    text text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id, name)
);
CREATE INDEX note_payment ON note (merchant_id, payment_id);

-- What was put on a list (is_listed) or taken off it: a number of the vault, or a text (an e-mail
-- or IP address, the first digits of cards). The newest row of a value at a level and place holds.
CREATE TABLE listing (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint,
    level text COLLATE "C" NOT NULL CHECK (
        level IN ('platform', 'merchant', 'processor', 'gate')
    ),
    place text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL CHECK (what IN ('number', 'email', 'ip', 'bin')),
    value text COLLATE "C" NOT NULL,
    is_listed boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX listing_value ON listing (what, value);

-- A document that came in the archive of a batch, such as a sales ticket; its blob is named after
-- batch and number, and has a key of its own.
CREATE TABLE document (
    batch_id bigint NOT NULL,
    number smallint NOT NULL,
    name text COLLATE "C" NOT NULL,
    byte_count bigint NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, number)
);

-- How disputes about payments go on. A dispute has an id within its payment; its first step opens
-- it. A debit's return stands here too, and is of no dispute (null).
CREATE TABLE dispute_step (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    dispute text COLLATE "C",
    stage text COLLATE "C" NOT NULL,
    amount_minor bigint CHECK (amount_minor >= 0),
    currency text COLLATE "C",
    arn text COLLATE "C",
    reason_code text COLLATE "C",
    happened_on date,
    due_on date,
    text text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX dispute_step_payment ON dispute_step (merchant_id, payment_id);

-- What was claimed to be told of alerts, written with the claim: it counts while its operation has
-- no outcome, and when it was approved.
CREATE TABLE alert_answer (
    merchant_id integer NOT NULL,
    alert text COLLATE "C" NOT NULL,
    answer text COLLATE "C" NOT NULL,
    operation_id bigint NOT NULL,
    PRIMARY KEY (merchant_id, alert, answer, operation_id)
);

-- A customer's identifier (phone, e-mail, handle ...) that stands for a card.
CREATE TABLE card_name (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint,
    name_type text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    number_id uuid NOT NULL,
    expiry smallint,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX card_name_name ON card_name (merchant_id, name_type, name);

-- What a scoring service said of a number.
CREATE TABLE score (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint,
    number_id uuid NOT NULL,
    score integer NOT NULL,
    band text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX score_number ON score (merchant_id, number_id);

-- A callback that is owed to the merchant about a payment.
CREATE TABLE notice (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('queued', 'delivered', 'given_up')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);

-- What a payer signed, so that a creditor may collect from a bank account. The mandate itself is a
-- payment without amounts: its number is the IBAN, its state says what may be collected.
CREATE TABLE mandate (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    creditor_id text COLLATE "C" NOT NULL,
    bic text COLLATE "C",
    mandate_type text COLLATE "C" NOT NULL CHECK (mandate_type IN ('OOFF', 'RCUR')),
    signed_on date NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);

-- How a direct debit is collected: with which mandate (null = by the account itself), when.
CREATE TABLE debit (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    mandate_id bigint,
    sequence_type text COLLATE "C" CHECK (sequence_type IN ('OOFF', 'FRST', 'RCUR', 'FNAL')),
    collect_on date,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id),
    CHECK ((mandate_id IS NULL) = (sequence_type IS NULL))
);
CREATE INDEX debit_last ON debit (merchant_id, mandate_id)
WHERE sequence_type IN ('OOFF', 'FNAL');

-- The state of a mandate whose last debit was made: it is as before where that debit was undone,
-- all of it, and nothing was collected.
CREATE FUNCTION ended_mandate(merchant integer, mandate bigint) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN EXISTS (
            SELECT 1
            FROM debit AS d
            INNER JOIN payment AS p ON d.merchant_id = p.merchant_id AND d.payment_id = p.id
            WHERE
                d.merchant_id = $1 AND d.mandate_id = $2
                AND d.sequence_type IN ('OOFF', 'FNAL')
                AND p.authorized > p.released + p.cancelled
        ) THEN 'mandate_ended'
        WHEN m.mandate_type = 'OOFF' THEN 'mandate_once'
        ELSE 'mandate_running'
    END
    FROM mandate AS m WHERE m.merchant_id = $1 AND m.operation_id = $2
$$;

-- What the clock is to do with a payment: capture what was put off, or expire what nobody captured,
-- on a day of its gate. batch_id is the system batch that does it; null = not handed over yet.
CREATE TABLE due (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    due_on date NOT NULL,
    created_at timestamptz NOT NULL,
    batch_id bigint,
    PRIMARY KEY (merchant_id, payment_id, kind, due_on)
);
CREATE INDEX due_open ON due (due_on) WHERE batch_id IS NULL;

-- What a payer is to be charged (or paid) again and again. The recurring payment itself is a
-- payment without amounts: its card is charged, its state says whether. The amount of a charge is
-- amount_minor; or drawn between that and amount_to_minor; or the next of amounts. These columns
-- never change but for the last two: next_on is the first due date that was not looked at (null =
-- none follows), is_over tells that the clock is done with it.
CREATE TABLE recurring (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    source_id bigint,
    amount_minor bigint CHECK (amount_minor > 0),
    amount_to_minor bigint CHECK (amount_to_minor >= amount_minor),
    amounts bigint [],
    period text COLLATE "C" NOT NULL CHECK (period IN ('day', 'week', 'month', 'year')),
    every smallint NOT NULL CHECK (every > 0),
    start_on date NOT NULL,
    finish_on date,
    finish_count smallint CHECK (finish_count > 0),
    attempts smallint NOT NULL CHECK (attempts > 0),
    scheme_transaction_id text COLLATE "C",
    created_at timestamptz NOT NULL,
    next_on date,
    is_over boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (merchant_id, payment_id),
    CHECK ((amount_minor IS NULL) <> (amounts IS NULL))
);
CREATE INDEX recurring_next ON recurring (next_on) WHERE NOT is_over;

-- What was changed in it: other amounts, and whether it is charged again from then (is_back).
CREATE TABLE recurring_change (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    amount_minor bigint CHECK (amount_minor > 0),
    amount_to_minor bigint CHECK (amount_to_minor >= amount_minor),
    amounts bigint [],
    is_back boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX recurring_change_payment ON recurring_change (merchant_id, payment_id);

-- Who pays it: the newest row holds. Names and addresses stand here and nowhere else, so that they
-- can be erased.
CREATE TABLE recurring_payer (
    merchant_id integer NOT NULL,
    operation_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    billing_first_name text,
    billing_last_name text,
    billing_address_line_1 text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    billing_phone text,
    email text,
    customer_ip text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, operation_id)
);
CREATE INDEX recurring_payer_payment ON recurring_payer (merchant_id, payment_id);

-- A due date that is or was to be charged: once, whatever happens, that is the primary key. Its
-- amount was drawn when the date came; terms_id is the operation that gave the amounts. key is the
-- idempotency key of the attempt; a soft decline makes it open again, with the next attempt.
CREATE TABLE recurring_date (
    merchant_id integer NOT NULL,
    recurring_id bigint NOT NULL,
    due_on date NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    terms_id bigint NOT NULL,
    attempt smallint NOT NULL,
    attempt_on date NOT NULL,
    key text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (
        state IN ('open', 'handed_over', 'charged', 'given_up')
    ),
    batch_id bigint,
    response text COLLATE "C",
    PRIMARY KEY (merchant_id, recurring_id, due_on),
    CHECK (state <> 'handed_over' OR batch_id IS NOT NULL)
);
CREATE INDEX recurring_date_open ON recurring_date (attempt_on)
WHERE state IN ('open', 'handed_over');

-- Append-only record of acts on batches, gates, keys and the like, sealed by a hash chain.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    detail jsonb NOT NULL,
    previous_hash text COLLATE "C" NOT NULL UNIQUE,
    hash text COLLATE "C" NOT NULL UNIQUE
);

-- Counts and sums of a batch, appended by each step that gives rows a state; never updated. Rows
-- are counted as 'queued' when they are accepted, and taken off again when they leave it.
CREATE TABLE tally (
    batch_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    currency text COLLATE "C",
    row_count bigint NOT NULL,
    requested_minor numeric NOT NULL,
    approved_minor numeric NOT NULL,
    PRIMARY KEY (batch_id, id)
);
