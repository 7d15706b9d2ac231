//! What can be done with variants.

use std::collections::HashMap;

use bahi_db::{Ctx, Done, Tx};
use bahi_types::ProductId;
use serde::{Deserialize, Serialize};

use crate::{
    Error, State,
    attribute::{
        self,
        model::{AttributeId, ValueId},
    },
    kit,
    product::{
        self,
        model::{Change, Draft, Product, Status},
    },
    tax_profile,
    text::fold,
    unit,
    variant::{
        model::{self, Axis, Cell, Outcome, Pattern},
        store,
    },
};

/// Which variants are wanted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Attributes, each with the values wanted; all of them when absent.
    pub axes: Vec<(AttributeId, Option<Vec<ValueId>>)>,
    /// How SKUs are made.
    pub pattern: Option<String>,
    /// State of new variants.
    pub status: Status,
}

/// A matrix, made or to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// The template as it is now.
    pub template: ProductId,
    /// Its cells.
    pub cells: Vec<Cell>,
}

/// Shows what [`generate`] would do.
pub async fn preview(state: &State, ctx: &Ctx, id: ProductId, plan: Plan) -> Result<Matrix, Error> {
    let read = async |tx: &mut Tx| -> Result<Matrix, Error> {
        let template = product::store::get(tx, id).await?;
        let ids: Vec<AttributeId> = plan.axes.iter().map(|(id, _)| *id).collect();
        let attributes = attribute::store::some(tx, &ids).await?;
        let cells = cells(tx, &template, &plan, &attributes).await?;
        Ok(Matrix {
            template: id,
            cells,
        })
    };
    state.db.read(ctx, read).await
}

/// Makes the variants of the matrix that are missing.
pub async fn generate(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    plan: Plan,
) -> Result<Done<Matrix>, Error> {
    let generate = async move |tx: &mut Tx| -> Result<Matrix, Error> {
        // Who comes second waits here, and finds the variants of the first.
        let before = product::store::lock(tx, id).await?;
        let ids: Vec<AttributeId> = plan.axes.iter().map(|(id, _)| *id).collect();
        let attributes = attribute::store::hold(tx, &ids).await?;
        let mut cells = cells(tx, &before, &plan, &attributes).await?;
        let clashes: Vec<String> = cells
            .iter()
            .filter(|cell| cell.outcome == Outcome::Clash)
            .map(|cell| cell.sku.clone())
            .collect();
        if !clashes.is_empty() {
            return Err(Error::SkusTaken(clashes));
        }
        let now = tx.now();
        let mut changes = Vec::new();
        let template = if before.template {
            before
        } else {
            let after = model::as_template(&before, now);
            changes.push(Change {
                before: Some(before),
                after: after.clone(),
            });
            after
        };
        for cell in cells.iter_mut().filter(|cell| cell.outcome == Outcome::New) {
            let variant = model::make(&template, cell, plan.status, now);
            cell.product_id = Some(variant.id);
            changes.push(Change {
                before: None,
                after: variant,
            });
        }
        if changes.iter().any(|change| change.before.is_none()) {
            product::commands::record(tx, &changes).await?;
        }
        Ok(Matrix {
            template: id,
            cells,
        })
    };
    state.db.write(ctx, generate).await
}

async fn cells(
    tx: &mut Tx,
    template: &Product,
    plan: &Plan,
    attributes: &[attribute::model::Attribute],
) -> Result<Vec<Cell>, Error> {
    model::may_have_variants(template)?;
    if !template.template
        && !kit::store::components_among(tx, &[template.id])
            .await?
            .is_empty()
    {
        return Err(Error::ComponentOfKit);
    }
    let axis = |(index, (id, values)): (usize, &(AttributeId, Option<Vec<ValueId>>))| {
        let attribute = attributes.iter().find(|attribute| attribute.head.id == *id);
        let attribute = attribute.ok_or(Error::UnknownReference("attributes"))?;
        Axis::new(attribute, values.as_deref(), index)
    };
    let axes: Vec<Axis> = plan
        .axes
        .iter()
        .enumerate()
        .map(axis)
        .collect::<Result<_, Error>>()?;
    let pattern = Pattern::read(plan.pattern.as_deref(), &axes)?;
    let mut cells = model::matrix(template, &axes, &pattern)?;
    let variants = store::all(tx, template.id).await?;
    let keys: Vec<String> = cells.iter().map(|cell| fold(&cell.sku)).collect();
    let owners: HashMap<String, ProductId> = product::store::by_sku(tx, &keys)
        .await?
        .into_iter()
        .map(|owner| (fold(&owner.sku), owner.id))
        .collect();
    model::settle(&mut cells, &variants, &owners)?;
    Ok(cells)
}

/// What variants have to change after these changes of their templates. They are locked.
pub async fn follow(tx: &mut Tx, changes: &[Change]) -> Result<Vec<Change>, Error> {
    let templates: HashMap<ProductId, (&Product, &Product)> = changes
        .iter()
        .filter(|change| change.after.template)
        .filter_map(|change| Some((change.after.id, (change.before.as_ref()?, &change.after))))
        .filter(|(_, (before, _))| before.template)
        .collect();
    if templates.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<ProductId> = templates.keys().copied().collect();
    ids.sort_unstable();
    let variants = store::lock(tx, &ids).await?;
    let mut wanted = Vec::with_capacity(variants.len());
    for variant in variants {
        let Some((before, after)) = variant.variant_of.and_then(|id| templates.get(&id)) else {
            continue;
        };
        let draft = model::inherited(&variant, before, after, &variant.overrides);
        if draft
            != (Draft {
                status: None,
                ..Draft::of(&variant)
            })
        {
            wanted.push((variant, draft));
        }
    }
    let units: Vec<_> = wanted.iter().map(|(_, draft)| draft.unit_id).collect();
    let profiles: Vec<_> = wanted
        .iter()
        .map(|(_, draft)| draft.tax_profile_id)
        .collect();
    let units = unit::store::hold_any(tx, &units, &[]).await?;
    let profiles = tax_profile::store::hold_any(tx, &profiles, &[], &[]).await?;
    let now = tx.now();
    let mut followers = Vec::with_capacity(wanted.len());
    for (variant, draft) in wanted {
        let unit = units.iter().find(|unit| unit.id == draft.unit_id);
        let unit = unit.ok_or(Error::UnknownReference("unit_id"))?;
        let tax = profiles
            .iter()
            .find(|profile| profile.head.id == draft.tax_profile_id);
        let tax = tax.ok_or(Error::UnknownReference("tax_profile_id"))?;
        let after = model::follow(&variant, draft, unit, tax, now)?;
        followers.push(Change {
            before: Some(variant),
            after,
        });
    }
    Ok(followers)
}

/// Lets a variant inherit fields again that it said itself.
pub async fn inherit(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    fields: Vec<String>,
) -> Result<Done<Product>, Error> {
    let inherit = async move |tx: &mut Tx| -> Result<Product, Error> {
        let of = product::store::get(tx, id)
            .await?
            .variant_of
            .ok_or(Error::NoVariant)?;
        // Whoever changes the template waits for us, or we for him: it is locked first, as everywhere.
        let template = product::store::lock(tx, of).await?;
        let before = product::store::lock(tx, id).await?;
        let mut kept = before.overrides.to_vec();
        kept.retain(|field| !fields.contains(field));
        if kept.len() == before.overrides.len() {
            return Ok(before);
        }
        let mut draft = model::inherited(&before, &template, &template, &kept);
        if fields.iter().any(|field| field == "name")
            && before.overrides.iter().any(|f| f == "name")
        {
            let ids: Vec<AttributeId> = before
                .options
                .iter()
                .map(|option| option.attribute_id)
                .collect();
            let attributes = attribute::store::some(tx, &ids).await?;
            draft.name = model::name_of(&template.name, &before, &attributes);
        }
        let unit = unit::store::hold(tx, draft.unit_id).await?;
        let unit = unit.ok_or(Error::UnknownReference("unit_id"))?;
        let tax = tax_profile::store::hold(tx, draft.tax_profile_id).await?;
        let tax = tax.ok_or(Error::UnknownReference("tax_profile_id"))?;
        let now = tx.now();
        let mut after = model::follow(&before, draft, &unit, &tax, now)?;
        after.overrides = kept.into();
        if after.version == before.version {
            (after.version, after.updated_at) = (before.version + 1, now);
        }
        let change = Change {
            before: Some(before),
            after: after.clone(),
        };
        product::commands::record(tx, &[change]).await?;
        Ok(after)
    };
    state.db.write(ctx, inherit).await
}
