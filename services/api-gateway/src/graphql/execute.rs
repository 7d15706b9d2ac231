//! Carries a plan out: asks the services, one after another or at once, and puts together what they answer.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
};

use bytes::Bytes;
use hive_router_query_planner::{
    ast::{selection_item::SelectionItem, selection_set::SelectionSet},
    planner::plan_nodes::{
        BatchFetchNode, FetchNode, FetchNodePathSegment, FetchRewrite, FlattenNodePathSegment,
        PlanNode,
    },
    state::supergraph_state::OperationKind,
};
use serde::Deserialize;
use serde_json::Map;
use typed_arena::Arena;

use super::{
    error::{Error, Step, is_told},
    schema::Schema,
    select::called,
    value::{Object, Value},
};

type Segment = FlattenNodePathSegment;

/// Errors that are told of one request. One about an entity is told wherever that stands.
const ERRORS: usize = 10_000;

/// Asks a service something in GraphQL.
pub trait Ask {
    /// Sends `body` to `service`. A `change` is never sent twice.
    ///
    /// # Errors
    /// What a client may know of why there is no answer.
    fn ask(
        &self,
        service: &str,
        body: Vec<u8>,
        change: bool,
    ) -> impl Future<Output = Result<Bytes, Error>>;
}

/// One request on its way through a plan.
pub struct Run<'a, A> {
    schema: &'a Schema,
    variables: &'a Map<String, serde_json::Value>,
    ask: &'a A,
    answers: &'a Arena<Bytes>,
    data: RefCell<Value<'a>>,
    errors: RefCell<Vec<Error>>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, borrow)]
    data: Value<'a>,
    #[serde(default)]
    errors: Option<Vec<Told>>,
}

/// An error as a service tells it.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    message: String,
    #[serde(default)]
    path: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    extensions: Map<String, serde_json::Value>,
}

/// The entities that one service is asked about: what is sent of each, once, and which each place has.
#[derive(Default)]
struct Entities {
    /// JSON of a list.
    sent: Vec<u8>,
    count: usize,
    /// For each place in the order of [`walk`], the entity; `None` where there is nothing to ask.
    places: Vec<Option<usize>>,
    known: HashMap<Vec<u8>, usize>,
}

impl Entities {
    fn add(&mut self, json: Vec<u8>) -> usize {
        if self.count > 0 {
            self.sent.push(b',');
        }
        self.sent.extend_from_slice(&json);
        self.known.insert(json, self.count);
        self.count += 1;
        self.count - 1
    }
}

type Done<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl<'a, A: Ask> Run<'a, A> {
    /// With variables that are coerced; what services answer is kept in `answers`.
    pub fn new(
        schema: &'a Schema,
        variables: &'a Map<String, serde_json::Value>,
        ask: &'a A,
        answers: &'a Arena<Bytes>,
    ) -> Self {
        Self {
            schema,
            variables,
            ask,
            answers,
            data: RefCell::new(Value::Object(Object::default())),
            errors: RefCell::default(),
        }
    }

    /// Carries out a plan.
    pub async fn carry_out(self, node: Option<&PlanNode>) -> (Value<'a>, Vec<Error>) {
        if let Some(node) = node {
            self.node(node, &[]).await;
        }
        (self.data.into_inner(), self.errors.into_inner())
    }

    fn node<'b>(&'b self, node: &'b PlanNode, path: &'b [Segment]) -> Done<'b> {
        Box::pin(async move {
            match node {
                PlanNode::Sequence(of) => {
                    for node in &of.nodes {
                        self.node(node, path).await;
                    }
                }
                PlanNode::Parallel(of) => {
                    let all = of.nodes.iter().map(|node| self.node(node, path));
                    futures::future::join_all(all).await;
                }
                PlanNode::Condition(of) => {
                    let said = self.variables.get(&of.condition);
                    let clause = match said.and_then(|v| v.as_bool()).unwrap_or(false) {
                        true => &of.if_clause,
                        false => &of.else_clause,
                    };
                    if let Some(node) = clause {
                        self.node(node, path).await;
                    }
                }
                PlanNode::Flatten(of) => self.node(&of.node, of.path.as_slice()).await,
                PlanNode::Fetch(of) => match &of.requires {
                    Some(requires) => self.entities(of, requires, path).await,
                    None => self.roots(of, path).await,
                },
                PlanNode::BatchFetch(of) => self.batch(of).await,
                PlanNode::Subscription(_) | PlanNode::Defer(_) => self.fail(Error::new(
                    "The plan asks for what is not served.",
                    "QUERY_PLANNING_FAILED",
                    500,
                )),
            }
        })
    }

    /// Fields at the top; with a path, of objects below that are the top again (`query: Query!` in what a mutation answers).
    async fn roots(&self, fetch: &FetchNode, path: &[Segment]) {
        let mut places = Vec::new();
        if path.is_empty() {
            places.push(Vec::new());
        } else {
            let data = self.data.borrow();
            located(self.schema, &data, path, &mut Vec::new(), &mut |here| {
                places.push(here.to_vec());
            });
        }
        if places.is_empty() {
            return;
        }
        let body = self.body(&fetch.operation.document_str, &fetch.variable_usages, &[]);
        let change = fetch.operation_kind == Some(OperationKind::Mutation);
        let Some(mut answer) = self.asked(&fetch.service_name, body, change).await else {
            return;
        };
        self.rewrite(&mut answer.data, &fetch.output_rewrites);
        for told in answer.errors.unwrap_or_default() {
            let rest: Vec<Step> = told.path.iter().flatten().filter_map(step).collect();
            let paths = places.iter().map(|place| [&place[..], &rest[..]].concat());
            let paths = paths.collect();
            self.tell(told, paths);
        }
        let mut data = self.data.borrow_mut();
        if path.is_empty() {
            return data.merge(answer.data);
        }
        walk(self.schema, &mut data, path, &mut |value| {
            if let (Value::Object(_), Value::Object(_)) = (&*value, &answer.data) {
                value.merge(answer.data.clone());
            }
        });
    }

    /// Fields of entities that another service has named.
    async fn entities(&self, fetch: &FetchNode, requires: &SelectionSet, path: &[Segment]) {
        let mut entities = Entities::default();
        self.gather(&mut entities, path, requires, &fetch.input_rewrites);
        if entities.count == 0 {
            return;
        }
        let lists = [("representations", &entities)];
        let body = self.body(
            &fetch.operation.document_str,
            &fetch.variable_usages,
            &lists,
        );
        let Some(answer) = self.asked(&fetch.service_name, body, false).await else {
            return;
        };
        let found = member(answer.data, "_entities");
        self.spread(&entities, &[path], found, &fetch.output_rewrites);
        for told in answer.errors.unwrap_or_default() {
            self.tell_of(&entities, &[path], "_entities", told);
        }
    }

    /// Entities of several kinds or places in one request.
    async fn batch(&self, fetch: &BatchFetchNode) {
        let aliases = &fetch.entity_batch.aliases;
        let mut all = Vec::with_capacity(aliases.len());
        for alias in aliases {
            let mut entities = Entities::default();
            for path in &alias.merge_paths {
                let rewrites = &alias.input_rewrites;
                self.gather(&mut entities, path.as_slice(), &alias.requires, rewrites);
            }
            all.push(entities);
        }
        if all.iter().all(|entities| entities.count == 0) {
            return;
        }
        let names = aliases
            .iter()
            .map(|a| a.representations_variable_name.as_str());
        let lists: Vec<_> = names.zip(&all).collect();
        let body = self.body(
            &fetch.operation.document_str,
            &fetch.variable_usages,
            &lists,
        );
        let Some(answer) = self.asked(&fetch.service_name, body, false).await else {
            return;
        };
        let mut data = match answer.data {
            Value::Object(object) => object,
            _ => Object::default(),
        };
        for (alias, entities) in aliases.iter().zip(&all) {
            let found = data.get_mut(&alias.alias).map(std::mem::take);
            let paths: Vec<_> = alias.merge_paths.iter().map(|p| p.as_slice()).collect();
            self.spread(
                entities,
                &paths,
                found.unwrap_or_default(),
                &alias.output_rewrites,
            );
        }
        for told in answer.errors.unwrap_or_default() {
            let head = told.path.as_ref().and_then(|p| p.first()?.as_str());
            let of = aliases
                .iter()
                .zip(&all)
                .find(|(a, _)| Some(a.alias.as_str()) == head);
            match of {
                Some((alias, entities)) => {
                    let paths: Vec<_> = alias.merge_paths.iter().map(|p| p.as_slice()).collect();
                    self.tell_of(entities, &paths, &alias.alias, told);
                }
                None => self.tell(told, Vec::new()),
            }
        }
    }

    /// A request in GraphQL.
    fn body(
        &self,
        document: &str,
        usages: &Option<BTreeSet<String>>,
        lists: &[(&str, &Entities)],
    ) -> Vec<u8> {
        let mut body = Vec::with_capacity(document.len() + 256);
        body.extend_from_slice(b"{\"query\":");
        json(&mut body, document);
        let mut first = true;
        let mut next = |body: &mut Vec<u8>, name: &str| {
            body.extend_from_slice(if first { b",\"variables\":{" } else { b"," });
            first = false;
            json(body, name);
            body.push(b':');
        };
        for (name, entities) in lists {
            next(&mut body, name);
            body.push(b'[');
            body.extend_from_slice(&entities.sent);
            body.push(b']');
        }
        for name in usages.iter().flatten() {
            if let Some(value) = self.variables.get(name) {
                next(&mut body, name);
                json(&mut body, value);
            }
        }
        if !first {
            body.push(b'}');
        }
        body.push(b'}');
        body
    }

    async fn asked(&self, service: &str, body: Vec<u8>, change: bool) -> Option<Answer<'a>> {
        let bytes = match self.ask.ask(service, body, change).await {
            Ok(bytes) => self.answers.alloc(bytes),
            Err(error) => {
                self.fail(error);
                return None;
            }
        };
        match serde_json::from_slice(bytes) {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::error!(service, %error, "a service answered something else than GraphQL");
                let message = format!("The service {service} cannot be understood just now.");
                self.fail(Error::new(message, "MALFORMED_ANSWER", 502));
                None
            }
        }
    }

    fn fail(&self, error: Error) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < ERRORS {
            errors.push(error);
        }
    }

    /// Passes an error on, for each of its places, or for none. What one of our services refuses is for the client; whatever
    /// else went wrong is not.
    fn tell(&self, told: Told, paths: Vec<Vec<Step>>) {
        let status = told.extensions.get("status").and_then(|s| s.as_u64());
        let error = match status.filter(|s| is_told(*s)) {
            Some(_) if told.extensions.contains_key("code") => Error {
                message: told.message,
                extensions: told.extensions,
                ..Error::default()
            },
            _ => {
                tracing::error!(message = told.message, "a part of an answer failed");
                let message = "An unexpected error; it has been logged under the request id.";
                Error::new(message, "INTERNAL", 500)
            }
        };
        if paths.is_empty() {
            return self.fail(error);
        }
        for path in paths {
            self.fail(Error {
                path: Some(path).filter(|path| !path.is_empty()),
                ..error.clone()
            });
        }
    }

    /// Passes on an error about an entity, for each place where it stands.
    fn tell_of(&self, entities: &Entities, paths: &[&[Segment]], head: &str, told: Told) {
        let steps = told.path.as_deref().unwrap_or_default();
        let at = match steps {
            [first, at, ..] if first == head => at.as_u64().and_then(|at| usize::try_from(at).ok()),
            _ => None,
        };
        let Some(at) = at else {
            return self.tell(told, Vec::new());
        };
        let rest: Vec<Step> = steps[2..].iter().filter_map(step).collect();
        let mut found = Vec::new();
        let mut place = 0;
        for path in paths {
            let mut steps = Vec::new();
            located(
                self.schema,
                &self.data.borrow(),
                path,
                &mut steps,
                &mut |here| {
                    if entities.places.get(place) == Some(&Some(at)) {
                        found.push([here, &rest[..]].concat());
                    }
                    place += 1;
                },
            );
        }
        self.tell(told, found);
    }

    /// Adds the entities at `path` to those that are asked about.
    fn gather(
        &self,
        entities: &mut Entities,
        path: &[Segment],
        requires: &SelectionSet,
        rewrites: &Option<Vec<FetchRewrite>>,
    ) {
        let mut data = self.data.borrow_mut();
        walk(self.schema, &mut data, path, &mut |value| {
            let Value::Object(object) = value else {
                entities.places.push(None);
                return;
            };
            let mut shown = Object::default();
            self.project(&requires.items, object, &mut shown);
            let named = shown.0.iter().any(|(name, _)| &**name != "__typename");
            if !named && !only_type_name(requires) {
                entities.places.push(None);
                return;
            }
            let mut shown = Value::Object(shown);
            self.rewrite(&mut shown, rewrites);
            let mut bytes = Vec::new();
            json(&mut bytes, &shown);
            let at = match entities.known.get(&bytes) {
                Some(at) => *at,
                None => entities.add(bytes),
            };
            entities.places.push(Some(at));
        });
    }

    /// What of an object a service needs to know to find it.
    fn project<'v>(&self, requires: &[SelectionItem], from: &Object<'v>, to: &mut Object<'v>) {
        let type_name = from.type_name();
        if let Some(name) = from.get("__typename") {
            to.set("__typename", name.clone());
        }
        for item in requires {
            match item {
                SelectionItem::Field(field) => {
                    let key = field.selection_identifier();
                    if key == "__typename" {
                        continue;
                    }
                    let Some(value) = from.get(&field.name).or_else(|| from.get(key)) else {
                        continue;
                    };
                    if let Some(value) = self.part(&field.selections.items, value) {
                        to.set(key, value);
                    }
                }
                SelectionItem::InlineFragment(fragment) => {
                    let on = &fragment.type_condition;
                    let fits = type_name
                        .is_none_or(|of| self.schema.is_a(of, on) || self.schema.is_a(on, of));
                    if fits {
                        self.project(&fragment.selections.items, from, to);
                    }
                }
                // Only what is sent to services is shortened by fragments.
                SelectionItem::FragmentSpread(_) => {}
            }
        }
    }

    fn part<'v>(&self, requires: &[SelectionItem], value: &Value<'v>) -> Option<Value<'v>> {
        match value {
            Value::List(items) => {
                let items = items.iter().filter_map(|item| self.part(requires, item));
                Some(Value::List(items.collect()))
            }
            Value::Object(object) if !requires.is_empty() => {
                let mut shown = Object::default();
                self.project(requires, object, &mut shown);
                (!shown.0.is_empty()).then_some(Value::Object(shown))
            }
            other => Some(other.clone()),
        }
    }

    /// Puts what was found of entities where they stand.
    fn spread(
        &self,
        entities: &Entities,
        paths: &[&[Segment]],
        found: Value<'a>,
        rewrites: &Option<Vec<FetchRewrite>>,
    ) {
        let Value::List(mut found) = found else {
            return;
        };
        for one in &mut found {
            self.rewrite(one, rewrites);
        }
        let mut uses = vec![0usize; found.len()];
        for at in entities.places.iter().flatten() {
            if let Some(uses) = uses.get_mut(*at) {
                *uses += 1;
            }
        }
        let mut data = self.data.borrow_mut();
        let mut places = 0;
        for path in paths {
            walk(self.schema, &mut data, path, &mut |_| places += 1);
        }
        if places != entities.places.len() {
            // Another answer has changed what stands where meanwhile: nothing is put in the wrong place.
            tracing::error!("entities have moved while they were asked about");
            let message = "An unexpected error; it has been logged under the request id.";
            return self.fail(Error::new(message, "INTERNAL", 500));
        }
        let mut place = 0;
        for path in paths {
            walk(self.schema, &mut data, path, &mut |value| {
                let at = entities.places.get(place).copied().flatten();
                place += 1;
                let Some((at, one)) = at.and_then(|at| Some((at, found.get_mut(at)?))) else {
                    return;
                };
                // The last place that has it takes it, the others a copy.
                uses[at] -= 1;
                let one = match uses[at] {
                    0 => std::mem::take(one),
                    _ => one.clone(),
                };
                if let (Value::Object(_), Value::Object(_)) = (&*value, &one) {
                    value.merge(one);
                }
            });
        }
    }

    fn rewrite(&self, value: &mut Value, rewrites: &Option<Vec<FetchRewrite>>) {
        for rewrite in rewrites.iter().flatten() {
            match rewrite {
                FetchRewrite::KeyRenamer(of) => self.rename(value, &of.path, &of.rename_key_to),
                FetchRewrite::ValueSetter(of) => self.set(value, &of.path, &of.set_value_to),
            }
        }
    }

    fn rename(&self, value: &mut Value, path: &[FetchNodePathSegment], to: &str) {
        match (value, path) {
            (Value::List(items), path) => {
                for item in items {
                    self.rename(item, path, to);
                }
            }
            (Value::Object(object), [FetchNodePathSegment::Key(key)]) => {
                if let Some((name, _)) = object.0.iter_mut().find(|(name, _)| **name == **key) {
                    *name = to.to_owned().into();
                }
            }
            (Value::Object(object), [FetchNodePathSegment::Key(key), rest @ ..]) => {
                if let Some(value) = object.get_mut(key) {
                    self.rename(value, rest, to);
                }
            }
            (value @ Value::Object(_), [FetchNodePathSegment::TypenameEquals(on), rest @ ..])
                if self.fits(value, on) =>
            {
                self.rename(value, rest, to);
            }
            _ => {}
        }
    }

    fn set(&self, value: &mut Value, path: &[FetchNodePathSegment], to: &str) {
        match (value, path) {
            (value, []) => *value = Value::text(to),
            (Value::List(items), path) => {
                for item in items {
                    self.set(item, path, to);
                }
            }
            (Value::Object(object), [FetchNodePathSegment::Key(key), rest @ ..]) => {
                if let Some(value) = object.get_mut(key) {
                    self.set(value, rest, to);
                }
            }
            (value @ Value::Object(_), [FetchNodePathSegment::TypenameEquals(on), rest @ ..])
                if self.fits(value, on) =>
            {
                self.set(value, rest, to);
            }
            _ => {}
        }
    }

    fn fits(&self, value: &Value, on: &BTreeSet<String>) -> bool {
        fits(self.schema, value, on)
    }
}

fn fits(schema: &Schema, value: &Value, on: &BTreeSet<String>) -> bool {
    let type_name = match value {
        Value::Object(object) => object.type_name(),
        _ => None,
    };
    type_name.is_none_or(|of| on.iter().any(|on| schema.is_a(of, on)))
}

fn only_type_name(requires: &SelectionSet) -> bool {
    requires.items.iter().all(|item| {
        matches!(item, SelectionItem::Field(field) if field.selection_identifier() == "__typename")
    })
}

/// Comes to everything at `path`, always in the same order. Lists are gone through whether the path says so or not.
fn walk<'v>(
    schema: &Schema,
    value: &mut Value<'v>,
    path: &[Segment],
    come: &mut impl FnMut(&mut Value<'v>),
) {
    match (value, path) {
        (Value::List(items), path) => {
            let rest = match path {
                [Segment::List, rest @ ..] => rest,
                path => path,
            };
            for item in items {
                walk(schema, item, rest, come);
            }
        }
        (Value::Null, _) => {}
        (value, []) => come(value),
        (Value::Object(object), [Segment::Field(name), rest @ ..]) => {
            if let Some(value) = object.get_mut(name) {
                walk(schema, value, rest, come);
            }
        }
        (value, [Segment::TypeCondition(on), rest @ ..]) if fits(schema, value, on) => {
            walk(schema, value, rest, come);
        }
        _ => {}
    }
}

/// As [`walk`], with the way to each place.
fn located(
    schema: &Schema,
    value: &Value,
    path: &[Segment],
    steps: &mut Vec<Step>,
    come: &mut impl FnMut(&[Step]),
) {
    match (value, path) {
        (Value::List(items), path) => {
            let rest = match path {
                [Segment::List, rest @ ..] => rest,
                path => path,
            };
            for (at, item) in items.iter().enumerate() {
                steps.push(Step::At(at));
                located(schema, item, rest, steps, come);
                steps.pop();
            }
        }
        (Value::Null, _) => {}
        (_, []) => come(steps),
        (Value::Object(object), [Segment::Field(name), rest @ ..]) => {
            if let Some(value) = object.get(name) {
                steps.push(Step::Key(called(name).to_owned()));
                located(schema, value, rest, steps, come);
                steps.pop();
            }
        }
        (value, [Segment::TypeCondition(on), rest @ ..]) if fits(schema, value, on) => {
            located(schema, value, rest, steps, come);
        }
        _ => {}
    }
}

fn step(value: &serde_json::Value) -> Option<Step> {
    match value {
        serde_json::Value::String(key) => Some(Step::Key(called(key).to_owned())),
        serde_json::Value::Number(at) => {
            let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
            at.map(Step::At)
        }
        _ => None,
    }
}

fn member<'v>(value: Value<'v>, name: &str) -> Value<'v> {
    match value {
        Value::Object(mut object) => object.get_mut(name).map(std::mem::take).unwrap_or_default(),
        _ => Value::Null,
    }
}

fn json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Writing to memory does not fail, and every key is a text.
    let _ = serde_json::to_writer(out, value);
}
