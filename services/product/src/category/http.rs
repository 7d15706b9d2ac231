//! `/api/v1/categories`.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
    validate,
};
use bahi_types::{CategoryId, Cursor, Page, PageQuery};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    category::{
        commands,
        model::{Category, MOST},
        store::{self, Filter},
    },
};

/// The endpoints. `tree` comes before `{id}`, which would take it for an id.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(tree)
        .service(read)
        .service(update)
        .service(remove);
}

/// What a client says of a category.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CategoryInput {
    /// Name, unique among the children of its parent, ignoring case.
    #[garde(custom(validate::line))]
    pub(super) name: String,
    /// The category above; none for the top.
    pub(super) parent_id: Option<CategoryId>,
}

/// A category.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Category", complex)]
pub struct CategoryBody {
    /// Id.
    pub(super) id: CategoryId,
    /// Version, for `If-Match`.
    version: i64,
    /// The category above.
    pub(super) parent_id: Option<CategoryId>,
    /// Name.
    name: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Category> for CategoryBody {
    fn from(category: Category) -> Self {
        let Category {
            id,
            version,
            parent_id,
            name,
            created_at,
            updated_at,
        } = category;
        Self {
            id,
            version,
            parent_id,
            name,
            created_at,
            updated_at,
        }
    }
}

impl Versioned for CategoryBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which categories, in which order (`name`, `created_at`).
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[graphql(name = "CategoryFilter")]
pub struct ListCategories {
    #[graphql(skip)]
    page: Option<u32>,
    #[graphql(skip)]
    limit: Option<u32>,
    #[graphql(skip)]
    cursor: Option<String>,
    #[graphql(skip)]
    sort: Option<String>,
    /// This name, ignoring case.
    name: Option<String>,
    /// The children of this category.
    parent: Option<CategoryId>,
    /// Only those at the top.
    #[serde(default)]
    #[graphql(default)]
    top: bool,
}
paging!(ListCategories);

#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.write"])), operation_id = "create_category",
    request_body = CategoryInput,
    responses(
        (status = 201, body = CategoryBody),
        (status = 409, description = "NAME_TAKEN"),
        (status = 422, description = "UNKNOWN_REFERENCE, CATEGORY_TOO_DEEP")
    )
)]
#[post("/api/v1/categories")]
async fn create(
    state: web::Data<State>,
    req: Post<CategoryInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.name, req.body.parent_id).await?;
    Ok(created(&made.map(CategoryBody::from)))
}

#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.read"])), operation_id = "list_categories",
    params(ListCategories),
    responses((status = 200, body = Page<CategoryBody>))
)]
#[get("/api/v1/categories")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListCategories>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    Ok(page(
        &listed(&state, &caller, query.into_inner(), &paging).await?,
    ))
}

/// A part of the list.
pub async fn listed(
    state: &State,
    caller: &Caller,
    filter: ListCategories,
    paging: &PageQuery,
) -> Result<Page<CategoryBody>, Error> {
    caller.require("product.category.read")?;
    let walk = Walk::read(paging, &["name", "created_at"])?;
    let ListCategories {
        name, parent, top, ..
    } = filter;
    let filter = Filter { name, parent, top };
    let (categories, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let cursor = |category: &Category| Cursor {
        key: if walk.sort.field == "created_at" {
            category.created_at.to_rfc3339()
        } else {
            category.name.clone()
        },
        id: category.id.uuid(),
    };
    Ok(Page::new(categories, paging, total, cursor).map(CategoryBody::from))
}

/// Which part of the tree.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadTree {
    /// This category and what lies below it; the whole tree when absent.
    root: Option<CategoryId>,
}

/// A category and what lies below it.
#[derive(Serialize, ToSchema)]
pub struct CategoryNode {
    /// Id.
    id: CategoryId,
    /// Name.
    name: String,
    /// What lies directly below it, by name.
    #[schema(no_recursion)]
    children: Vec<CategoryNode>,
}

/// Hangs categories, parents first, below each other.
fn hang(categories: Vec<Category>, root: Option<CategoryId>) -> Vec<CategoryNode> {
    let mut below: BTreeMap<Option<CategoryId>, Vec<CategoryNode>> = BTreeMap::new();
    // Backwards: whatever lies below a category is complete when it is its turn.
    for category in categories.into_iter().rev() {
        let mut children = below.remove(&Some(category.id)).unwrap_or_default();
        children.reverse();
        let parent = category.parent_id.filter(|_| Some(category.id) != root);
        let node = CategoryNode {
            id: category.id,
            name: category.name,
            children,
        };
        below.entry(parent).or_default().push(node);
    }
    let mut top = below.remove(&None).unwrap_or_default();
    top.reverse();
    top
}

/// The tree of categories.
#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.read"])), operation_id = "read_category_tree",
    params(ReadTree),
    responses(
        (status = 200, body = Vec<CategoryNode>),
        (status = 404, description = "There is no such root."),
        (status = 422, description = "TREE_TOO_LARGE")
    )
)]
#[get("/api/v1/categories/tree")]
async fn tree(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ReadTree>,
) -> Result<HttpResponse, Problem> {
    let root = query.root;
    let hanging = async |tx: &mut Tx| -> Result<Vec<Category>, Error> {
        if let Some(root) = root {
            store::get(tx, root).await?;
        }
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let categories = store::tree(tx, root, most + 1).await?;
        if categories.len() > MOST {
            return Err(Error::TreeTooLarge(MOST));
        }
        Ok(categories)
    };
    let categories = state.db.read(&caller.ctx, hanging).await?;
    Ok(HttpResponse::Ok().json(hang(categories, root)))
}

#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.read"])), operation_id = "read_category",
    params(("id" = CategoryId, Path)),
    responses((status = 200, body = CategoryBody))
)]
#[get("/api/v1/categories/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<CategoryId>,
) -> Result<HttpResponse, Problem> {
    let category = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(CategoryBody::from(category))))
}

#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.write"])), operation_id = "update_category",
    params(("id" = CategoryId, Path)),
    request_body = CategoryInput,
    responses(
        (status = 200, body = CategoryBody),
        (status = 409, description = "NAME_TAKEN"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "UNKNOWN_REFERENCE, CATEGORY_CYCLE, CATEGORY_TOO_DEEP")
    )
)]
#[put("/api/v1/categories/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<CategoryId>,
    req: Amend<CategoryInput>,
) -> Result<HttpResponse, Problem> {
    let CategoryInput { name, parent_id } = req.body;
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, name, parent_id).await?;
    Ok(ok(&done.map(CategoryBody::from)))
}

#[utoipa::path(
    tag = "categories",
    security(("bearer" = ["product.category.write"])), operation_id = "delete_category",
    params(("id" = CategoryId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "IN_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/categories/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<CategoryId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
