//! Things put wrong on purpose, to see that the checker finds them: some after every run, inside transactions that are
//! rolled back, and three of the product itself, for a run that must end badly.

use std::collections::HashSet;

use clap::ValueEnum;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    SALES, STOCK,
    book::Book,
    judge::{judge_books, judge_topics},
};
use crate::{follow::Read, stage::Stage};

/// Something that is wrong with the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// A sale that was answered is lost.
    Lost,
    /// A sale is issued twice.
    Doubled,
    /// Stock is promised without being reserved.
    Unreserved,
}

impl Mutant {
    /// Done to the databases before the tills begin.
    ///
    /// # Errors
    /// When they cannot be reached.
    pub async fn before(self, stage: &Stage) -> anyhow::Result<()> {
        if self == Self::Unreserved {
            let forget = "create function mutant() returns trigger language plpgsql as
                            $$ begin new.reserved := 0; return new; end $$;
                          create trigger mutant before update on stock_item for each row execute function mutant()";
            stage.admin(STOCK).await?.batch_execute(forget).await?;
        }
        Ok(())
    }

    /// Done to the databases when all is at rest.
    ///
    /// # Errors
    /// When they cannot be reached.
    pub async fn after(self, stage: &Stage) -> anyhow::Result<()> {
        if self == Self::Lost {
            let lose = format!("set session_replication_role = replica; {GONE}");
            stage.admin(SALES).await?.batch_execute(&lose).await?;
        }
        Ok(())
    }
}

const GONE: &str = "with gone as (delete from invoice where invoice_id = (select min(invoice_id::text)::uuid from invoice) returning invoice_id),
       lines as (delete from invoice_line l using gone g where l.invoice_id = g.invoice_id)
     delete from invoice_tender t using gone g where t.invoice_id = g.invoice_id";

/// What the checker saw of what was put wrong.
pub struct Caught {
    /// So many.
    pub seen: usize,
    /// What it did not see.
    pub missed: Vec<&'static str>,
}

/// Puts one thing after another wrong, has it judged, and puts it right again.
///
/// # Errors
/// When the databases cannot be reached, or cannot be put wrong.
pub async fn caught(
    book: &Book,
    sales: &Client,
    stock: &Client,
    read: &Read,
) -> anyhow::Result<Caught> {
    let mut caught = Caught {
        seen: 0,
        missed: Vec::new(),
    };
    // By what is said, not by how much: in a run that ends badly anyway, something put wrong may take the place of what was
    // wrong before.
    let before: HashSet<String> = judge_books(book, sales, stock).await?.into_iter().collect();
    let online = "select invoice_id from invoice i where session_id is not null and not exists
                    (select from offline_number n where n.document_id = i.invoice_id)
                    and exists (select from invoice_line l where l.invoice_id = i.invoice_id and l.stocked and l.of_order is null) limit 1";
    let online: Uuid = sales.query_one(online, &[]).await?.get(0);
    let twice = |id: &str| {
        format!(
            "do $$ declare own text; begin
               select string_agg(quote_ident(attname), ', ') into own from pg_attribute
                where attrelid = 'invoice'::regclass and attnum > 0 and not attisdropped and attgenerated = '';
               execute format('insert into invoice (%1$s) select %1$s from (select (jsonb_populate_record(i, jsonb_build_object(
                 ''invoice_id'', {id}, ''running'', i.running + 100000, ''number'', ''DOUBLE/1''))).* from invoice i limit 1) twice', own);
             end $$"
        )
    };
    let mut wrongs = vec![
        ("an answered sale that is gone", true, GONE.to_owned()),
        (
            "a sale that stands twice",
            true,
            twice("gen_random_uuid()"),
        ),
        (
            "a sale for other money",
            true,
            "update invoice set taxable = taxable + 1, total = total + 1, tendered = tendered + 1, tendered_cash = tendered_cash + 1, version = version + 1
              where invoice_id = (select min(invoice_id::text)::uuid from invoice where tendered_cash > 0)"
                .to_owned(),
        ),
        (
            "a gap in the numbers",
            true,
            "update receipt set running = running + 1 where (series, running) = (select series, max(running) from receipt group by series limit 1)".to_owned(),
        ),
        (
            "a session that does not add up",
            true,
            "update pos_session set sold = sold + 0.01 where session_id = (select min(session_id::text)::uuid from pos_session)"
                .to_owned(),
        ),
        (
            "a number from without the network that nothing explains",
            true,
            "delete from offline_number where number = (select min(number) from offline_number where outcome = 'issued')".to_owned(),
        ),
        (
            "a sale online of what was not there",
            false,
            format!(
                "insert into shortage (tenant_id, invoice_id, line, location_id, product_id, qty, open, occurred_at, created_at)
                   select tenant_id, '{online}', 1, location_id, product_id, 1, 1, now(), now() from stock_item limit 1"
            ),
        ),
        (
            "goods that are nowhere",
            false,
            "update stock_item set on_hand = on_hand - 1 where product_id = (select min(product_id::text)::uuid from stock_item where on_hand > reserved)"
                .to_owned(),
        ),
        (
            "a hold that stays",
            false,
            "update reservation set state = 'pending', ended_at = null where id =
               (select min(id::text)::uuid from reservation where owner = 'sales')"
                .to_owned(),
        ),
        (
            "a sale that has not moved stock",
            false,
            // Of one that stands: what moved for a sale that is gone is wrong already.
            format!(
                "delete from movement_header where source_type = 'invoice' and source_id = '{online}'"
            ),
        ),
    ];
    if let Some(refused) = book.refusals().first() {
        let issued = twice(&format!("''{refused}''"));
        wrongs.push(("a sale that was given up and is issued", true, issued));
    }
    for (what, of_sales, how) in wrongs {
        let client = if of_sales { sales } else { stock };
        // Without the triggers that keep documents as they are.
        let begin = "begin; set local session_replication_role = replica";
        client.batch_execute(begin).await?;
        let done = client.execute(&how, &[]).await;
        let after = match &done {
            Ok(_) => judge_books(book, sales, stock).await?,
            Err(_) => Vec::new(),
        };
        client.batch_execute("rollback").await?;
        done.map_err(|e| anyhow::anyhow!("{what}: {e:?}"))?;
        if after.iter().any(|wrong| !before.contains(wrong)) {
            caught.seen += 1;
        } else {
            caught.missed.push(what);
        }
    }
    let mut seen = read.seen.clone();
    let last = seen[0].pop().map(|event| event.event_id);
    seen[0].retain(|event| Some(event.event_id) != last);
    if judge_topics(sales, stock, &seen).await?.is_empty() {
        caught.missed.push("an event that is in no topic");
    } else {
        caught.seen += 1;
    }
    Ok(caught)
}
