//! Every statement of the search.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::Fault;
use bahi_types::{BrandId, CategoryId, Price, ProductId};
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Integer, Jsonb, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Error,
    attribute::model::{AttributeId, ValueId},
    category,
    product::model::{Change, Kind, Status},
    schema::{attribute, attribute_value, brand, category as category_table},
    search::model::{self, Row, Terms},
    text::fold,
};

/// Most products that a search looks at.
pub const BOUND: i32 = 3_000;
/// Most products that a search ranks for a list.
const RANKED: i32 = 1000;
/// Most products that a search finds for a list in another order, or for an export.
const WALKED: i32 = 200_000;
/// Most brands, or categories, that a word may name.
const NAMED: i32 = 500;

/// What is found must be so.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This state.
    pub status: Option<Status>,
    /// This category or what lies below it.
    pub category: Option<CategoryId>,
    /// This brand.
    pub brand: Option<BrandId>,
    /// This kind.
    pub kind: Option<Kind>,
    /// This HSN or SAC.
    pub hsn: Option<String>,
    /// At least this price.
    pub low: Option<Price>,
    /// At most this price.
    pub high: Option<Price>,
    /// One of the values of each of these groups.
    pub values: Vec<Vec<ValueId>>,
}

/// Which part of it is wanted, in which order.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// `relevance`, `name`, `sku`, `price`; the last three with `:desc`, too.
    pub sorting: &'static str,
    /// Most products.
    pub most: i32,
    /// Products to skip.
    pub skip: i32,
    /// Whether it is counted what was found.
    pub faceted: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Found {
    /// How many.
    pub total: i64,
    /// The products of the page, in order.
    pub ids: Vec<ProductId>,
    /// Per state.
    pub status: Option<Vec<(String, i64)>>,
    /// Per category.
    pub category: Option<Vec<(CategoryId, i64)>>,
    /// Per brand.
    pub brand: Option<Vec<(BrandId, i64)>>,
    /// Per value.
    pub value: Option<Vec<(ValueId, i64)>>,
    /// Per band of price.
    pub price: Option<Vec<(usize, i64)>>,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Jsonb)]
    answer: serde_json::Value,
}

#[derive(QueryableByName)]
struct Alike {
    #[diesel(sql_type = Text)]
    asked: String,
    #[diesel(sql_type = Text)]
    word: String,
}

#[derive(QueryableByName)]
struct Names {
    #[diesel(sql_type = Text)]
    word: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    brand: Option<BrandId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    category: Option<CategoryId>,
}

/// The best of what a text finds, the best first, whatever its state.
pub async fn best(tx: &mut Tx, text: &str) -> Result<Vec<ProductId>, Error> {
    let cut = Cut {
        sorting: "relevance",
        most: RANKED,
        skip: 0,
        faceted: false,
    };
    Ok(find(tx, Some(text), &Filter::default(), cut).await?.0.ids)
}

/// All that a text finds, whatever its state, by id.
///
/// # Errors
/// When that is more than 200,000 products.
pub async fn all(tx: &mut Tx, text: &str) -> Result<Vec<ProductId>, Error> {
    let cut = Cut {
        sorting: "sku",
        most: WALKED + 1,
        skip: 0,
        faceted: false,
    };
    let mut ids = find(tx, Some(text), &Filter::default(), cut).await?.0.ids;
    if ids.len() > WALKED as usize {
        let rule = format!("finds more than {WALKED} products; say more of what you look for");
        return Err(Fault::field("q", rule).into());
    }
    ids.sort_unstable();
    Ok(ids)
}

/// What a text and a filter find, and whether words were taken for misspelt.
pub async fn find(
    tx: &mut Tx,
    text: Option<&str>,
    filter: &Filter,
    cut: Cut,
) -> Result<(Found, bool), Error> {
    let must = must(tx, filter).await?;
    let Some(text) = text else {
        return Ok((look(tx, "", None, &must, filter, cut).await?, false));
    };
    let terms = Terms::read(text);
    if terms.is_empty() {
        return Ok((Found::default(), false));
    }
    let found = look(tx, text, Some(&terms), &must, filter, cut).await?;
    if found.total > 0 {
        return Ok((found, false));
    }
    let alike: Vec<Alike> = sql("select asked, word from similar_words($1)")
        .bind::<Array<Text>, _>(terms.doubtful())
        .load(tx.conn())
        .await?;
    let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in alike {
        words.entry(row.asked).or_default().push(row.word);
    }
    match terms.corrected(&words) {
        Some(terms) => Ok((
            look(tx, text, Some(&terms), &must, filter, cut).await?,
            true,
        )),
        None => Ok((found, false)),
    }
}

/// What a filter asks for, as groups of lexemes.
async fn must(tx: &mut Tx, filter: &Filter) -> Result<Vec<Vec<String>>, Error> {
    let mut groups = Vec::new();
    groups.extend(filter.status.map(|status| vec![model::status(status)]));
    groups.extend(filter.kind.map(|kind| vec![model::kind(kind)]));
    groups.extend(filter.brand.map(|brand| vec![model::brand(brand)]));
    groups.extend(filter.hsn.as_deref().map(|hsn| vec![model::hsn(hsn)]));
    groups.extend(
        filter
            .values
            .iter()
            .map(|group| group.iter().map(|id| model::value(*id)).collect()),
    );
    if let Some(category) = filter.category {
        let mut below = category::store::subtree(tx, category).await?;
        // A category that is not there has nothing in it.
        below.push(category);
        groups.push(below.into_iter().map(model::category).collect());
    }
    let quoted = |group: Vec<String>| group.iter().map(|lexeme| model::quoted(lexeme)).collect();
    Ok(groups.into_iter().map(quoted).collect())
}

async fn look(
    tx: &mut Tx,
    text: &str,
    terms: Option<&Terms>,
    must: &[Vec<String>],
    filter: &Filter,
    cut: Cut,
) -> Result<Found, Error> {
    let mut groups = must.to_vec();
    let mut exact = None;
    if let Some(terms) = terms {
        groups.extend(terms.query(&named(tx, terms).await?));
        exact = model::all_of(&terms.exact());
    }
    let row: Answer =
        sql("select search_products($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as answer")
            .bind::<Nullable<Text>, _>(model::all_of(&groups))
            .bind::<Nullable<Text>, _>(exact)
            .bind::<Text, _>(fold(text))
            .bind::<Nullable<Numeric>, _>(filter.low)
            .bind::<Nullable<Numeric>, _>(filter.high)
            .bind::<Text, _>(cut.sorting)
            .bind::<Integer, _>(cut.most)
            .bind::<Integer, _>(cut.skip)
            .bind::<Integer, _>(BOUND)
            .bind::<Bool, _>(cut.faceted)
            .get_result(tx.conn())
            .await?;
    Ok(serde_json::from_value(row.answer).map_err(Db::from)?)
}

/// For each word, the lexemes of the brands and categories in whose names a word begins with it; with a category come
/// all that lie below it.
async fn named(tx: &mut Tx, terms: &Terms) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let words: BTreeSet<&String> = terms.iter().flat_map(|term| &term.words).collect();
    let words: Vec<&String> = words
        .into_iter()
        .filter(|word| word.chars().count() > 1)
        .collect();
    if words.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Words hold no punctuation, so nothing in them means anything to `like`.
    let rows: Vec<Names> = sql(r"with recursive asked as (select w from unnest($2) as w),
         named (word, id, level) as (
           select w, c.id, 1 from asked join category c on c.tenant_id = $1
              and ' ' || translate(c.name_key, '-/.,&''()+', '         ') like '% ' || w || '%'
           union all
           select named.word, c.id, named.level + 1 from named join category c
               on c.tenant_id = $1 and c.parent_id = named.id and named.level < 10)
         (select w as word, b.id as brand, null::uuid as category from asked join brand b on b.tenant_id = $1
             and ' ' || translate(b.name_key, '-/.,&''()+', '         ') like '% ' || w || '%' limit $3)
         union all
         (select distinct word, null::uuid, id from named limit $3)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(words)
    .bind::<Integer, _>(NAMED)
    .load(tx.conn())
    .await?;
    let mut lexemes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let of = lexemes.entry(row.word).or_default();
        of.extend(row.brand.map(model::brand));
        of.extend(row.category.map(model::category));
    }
    Ok(lexemes)
}

/// A row as the database takes it.
#[derive(Serialize)]
struct Written {
    id: ProductId,
    words: BTreeSet<String>,
    name: String,
    sku: String,
    status: Status,
    category: Option<CategoryId>,
    brand: Option<BrandId>,
    price: Price,
    options: Vec<ValueId>,
}

/// Stores what changed products are found by, where that differs.
pub async fn save(tx: &mut Tx, changes: &[Change]) -> Result<(), Error> {
    let (mut rows, mut words) = (Vec::new(), BTreeSet::new());
    for change in changes {
        let before = change.before.as_ref();
        let row = Row::of(&change.after);
        let same_sku = before.is_some_and(|before| before.sku == change.after.sku);
        if same_sku && before.map(Row::of).as_ref() == Some(&row) {
            continue;
        }
        if before.is_none_or(|before| before.name != change.after.name) {
            words.extend(model::dictionary(&change.after.name));
        }
        rows.push(Written {
            id: row.id,
            words: row.words,
            name: row.name,
            sku: fold(&change.after.sku),
            status: row.status,
            category: row.category,
            brand: row.brand,
            price: row.price,
            options: row.options,
        });
    }
    if rows.is_empty() {
        return Ok(());
    }
    sql("insert into product_search (tenant_id, product_id, words, name_key, sku_key, status, category_id, brand_id, price, options)
         select $1, n.id, array_to_tsvector(n.words), n.name, n.sku, n.status, n.category, n.brand, n.price, n.options
           from jsonb_to_recordset($2) as n(id uuid, words text[], name text, sku text, status text, category uuid,
                                            brand uuid, price numeric, options uuid[])
          order by n.id
         on conflict (tenant_id, product_id) do update
         set words = excluded.words, name_key = excluded.name_key, sku_key = excluded.sku_key, status = excluded.status,
             category_id = excluded.category_id, brand_id = excluded.brand_id, price = excluded.price,
             options = excluded.options")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Jsonb, _>(json!(rows))
        .execute(tx.conn())
        .await?;
    learn(tx, words).await
}

/// Keeps the words of a name, by which others can be put right.
pub async fn learn(tx: &mut Tx, words: BTreeSet<String>) -> Result<(), Error> {
    if words.is_empty() {
        return Ok(());
    }
    // Two who learn the same words wait for each other in one order.
    sql("insert into search_word (tenant_id, word) select $1, n.word
           from unnest($2) with ordinality as n(word, n) order by n.n on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(words.into_iter().collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Names of brands.
pub async fn brand_names(tx: &mut Tx, ids: &[BrandId]) -> Result<BTreeMap<BrandId, String>, Error> {
    use brand::dsl as b;
    let rows = brand::table
        .filter(b::tenant_id.eq(tx.tenant()))
        .filter(b::id.eq_any(ids));
    let names: Vec<(BrandId, String)> = rows.select((b::id, b::name)).load(tx.conn()).await?;
    Ok(names.into_iter().collect())
}

/// Names of categories.
pub async fn category_names(
    tx: &mut Tx,
    ids: &[CategoryId],
) -> Result<BTreeMap<CategoryId, String>, Error> {
    use category_table::dsl as c;
    let rows = category_table::table
        .filter(c::tenant_id.eq(tx.tenant()))
        .filter(c::id.eq_any(ids));
    let names: Vec<(CategoryId, String)> = rows.select((c::id, c::name)).load(tx.conn()).await?;
    Ok(names.into_iter().collect())
}

/// Attributes and names of values.
pub async fn value_names(
    tx: &mut Tx,
    ids: &[ValueId],
) -> Result<BTreeMap<ValueId, (AttributeId, String, String)>, Error> {
    use attribute::dsl as a;
    use attribute_value::dsl as v;
    let rows = attribute_value::table
        .inner_join(
            attribute::table.on(a::tenant_id.eq(v::tenant_id).and(a::id.eq(v::attribute_id))),
        )
        .filter(v::tenant_id.eq(tx.tenant()))
        .filter(v::id.eq_any(ids))
        .select((v::id, a::id, a::name, v::name));
    let names: Vec<(ValueId, AttributeId, String, String)> = rows.load(tx.conn()).await?;
    Ok(names
        .into_iter()
        .map(|(id, of, attribute, name)| (id, (of, attribute, name)))
        .collect())
}
