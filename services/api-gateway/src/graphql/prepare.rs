//! From the text of a query to its plan: parsed, measured, validated and planned once, and kept.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use graphql_tools::{
    parser::query::{
        Definition, Directive, Document as Ast, OperationDefinition, Selection as AstSelection,
        SelectionSet, Value as Literal,
    },
    validation::validate::validate,
};
use hive_router_query_planner::{
    ast::normalization::normalize_operation,
    graph::PlannerOverrideContext,
    planner::{PlannerError, plan_nodes::PlanNode},
    utils::{cancellation::CancellationToken, parsing::safe_parse_operation_with_token_limit},
};
use parking_lot::Mutex;
use prometheus::{IntCounter, register_int_counter};
use quick_cache::{Weighter, sync::Cache};
use serde_json::Map;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};

use super::{
    error::Refused,
    limits::{self, Cost, Limits, is_introspection},
    schema::{Schema, Type},
    select::{CALLED, Collector, Selection},
    variables::{self, Variable},
};

type Doc = Ast<'static, String>;
type Set = SelectionSet<'static, String>;

/// Longest time that planning one query may take.
const PLANNING: Duration = Duration::from_millis(500);
/// Plans kept for one operation: one for each way in which its conditions come out.
const VARIANTS: usize = 32;

#[allow(clippy::unwrap_used)] // Constant name.
static PLANNED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("gateway_plans_total", "Operations that were planned").unwrap()
});

#[allow(clippy::unwrap_used)] // Constant name.
static WARMED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "gateway_plans_warmed_total",
        "Operations that were planned before a new supergraph was served"
    )
    .unwrap()
});

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads.
    Query,
    /// Changes.
    Mutation,
    /// Listens. It may stand in a document, and is not carried out.
    Subscription,
}

/// A document that is valid.
pub struct Document {
    ast: Doc,
    operations: Vec<Prepared>,
    weight: u64,
    /// How often it was asked for.
    asked: AtomicU64,
}

/// An operation of a document.
pub struct Prepared {
    /// Its name.
    pub name: Option<String>,
    /// What it is.
    pub operation: Operation,
    /// Its variables.
    pub variables: Vec<Variable>,
    /// What it may come to.
    pub cost: Cost,
    /// Variables on which it depends what is asked.
    conditions: Vec<String>,
    /// The operation's place among the definitions.
    at: usize,
    plans: Mutex<Variants>,
}

/// The plans of an operation, by how its conditions come out.
type Variants = HashMap<Vec<bool>, Arc<OnceCell<Arc<Plan>>>>;

/// What is to be done for an operation whose conditions are known.
pub struct Plan {
    /// What to ask the services; nothing for a query about the schema only.
    pub node: Option<PlanNode>,
    /// What the answer consists of.
    pub selection: Arc<Selection>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Arc<str>, Arc<Document>> for Weight {
    fn weight(&self, _: &Arc<str>, document: &Arc<Document>) -> u64 {
        document.weight
    }
}

/// Turns texts into plans and keeps them.
pub struct Plans {
    /// The graph.
    pub schema: Arc<Schema>,
    /// How much a query may ask for.
    pub limits: Limits,
    introspection: bool,
    kept: Cache<Arc<str>, Arc<Document>, Weight>,
    /// Turns for what takes a processor long.
    turns: Arc<Semaphore>,
}

impl Plans {
    /// For a graph. About so many `bytes` are kept.
    pub fn new(schema: Arc<Schema>, limits: Limits, introspection: bool, bytes: u64) -> Self {
        Self {
            schema,
            limits,
            introspection,
            kept: Cache::with_weighter(1000, bytes, Weight),
            turns: Arc::new(Semaphore::new(2)),
        }
    }

    /// The document of a text. Several that ask for the same at once wait for the first, until the `deadline`.
    ///
    /// # Errors
    /// Why it is not carried out.
    pub async fn document(&self, text: &str, deadline: Instant) -> Result<Arc<Document>, Refused> {
        if let Some(kept) = self.kept.get(text) {
            kept.asked.fetch_add(1, Ordering::Relaxed);
            return Ok(kept);
        }
        let key: Arc<str> = text.into();
        let made = async {
            limits::text(&key, &self.limits)?;
            let (schema, limits, introspection) =
                (self.schema.clone(), self.limits, self.introspection);
            let text = key.clone();
            let made = move || Document::new(&schema, &text, &limits, introspection);
            self.elsewhere(made).await?.map(Arc::new)
        };
        in_time(deadline, self.kept.get_or_insert_async(&key, made)).await
    }

    /// Reads a document that will be asked for.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn keep(&self, text: &Arc<str>) -> Result<(), Refused> {
        if self.kept.get(text).is_some() {
            return Ok(());
        }
        let made = Document::new(&self.schema, text, &self.limits, self.introspection)?;
        self.kept.insert(text.clone(), Arc::new(made));
        Ok(())
    }

    /// Plans beforehand what was asked most of `old`, in the ways in which it was asked. What the new graph does not have
    /// any more is left out.
    pub fn warm(&self, old: &Self, most: usize) {
        let mut known: Vec<(Arc<str>, Arc<Document>)> = old.kept.iter().collect();
        known
            .sort_by_key(|(_, document)| std::cmp::Reverse(document.asked.load(Ordering::Relaxed)));
        for (text, before) in known.into_iter().take(most) {
            let made = Document::new(&self.schema, &text, &self.limits, self.introspection);
            let Ok(document) = made else {
                continue;
            };
            for (at, (now, then)) in document
                .operations
                .iter()
                .zip(&before.operations)
                .enumerate()
            {
                // The same text has the same conditions.
                let ways: Vec<Vec<bool>> = then.plans.lock().keys().cloned().collect();
                for way in ways {
                    if let Ok(plan) = plan(&self.schema, &document, at, &way) {
                        let cell = Arc::new(OnceCell::new_with(Some(Arc::new(plan))));
                        now.plans.lock().insert(way, cell);
                        WARMED.inc();
                    }
                }
            }
            self.kept.insert(text, Arc::new(document));
        }
    }

    /// How many documents are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// The plan of an operation, with variables that are coerced.
    ///
    /// # Errors
    /// When it cannot be planned, or not before the `deadline`.
    pub async fn plan(
        &self,
        document: &Arc<Document>,
        operation: usize,
        said: &Map<String, serde_json::Value>,
        deadline: Instant,
    ) -> Result<Arc<Plan>, Refused> {
        let Some(prepared) = document.operations.get(operation) else {
            return Err(Refused::OperationNameNeeded);
        };
        let flags: Vec<bool> = prepared
            .conditions
            .iter()
            .map(|name| said.get(name).and_then(|v| v.as_bool()).unwrap_or(false))
            .collect();
        let cell = {
            let mut plans = prepared.plans.lock();
            if plans.len() >= VARIANTS && !plans.contains_key(&flags) {
                plans.clear();
            }
            plans.entry(flags.clone()).or_default().clone()
        };
        let made = async || {
            let (schema, document) = (self.schema.clone(), document.clone());
            let made = move || plan(&schema, &document, operation, &flags).map(Arc::new);
            self.elsewhere(made).await?
        };
        let plan = in_time(deadline, cell.get_or_try_init(made)).await;
        plan.cloned()
    }

    /// Runs what takes long on another thread. The planner's author has not ruled out panics.
    async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = self.turns.clone().acquire_owned().await;
        let work = move || {
            // What has begun goes on when nobody waits for it any more, and its turn with it.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "planning a query panicked");
            Refused::Unplannable
        })
    }
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    let done = tokio::time::timeout_at(deadline, work).await;
    done.unwrap_or(Err(Refused::Late))
}

impl Document {
    fn new(
        schema: &Schema,
        text: &str,
        limits: &Limits,
        introspection: bool,
    ) -> Result<Self, Refused> {
        let ast = safe_parse_operation_with_token_limit(text, limits.tokens + 1)
            .map_err(|error| Refused::Syntax(error.to_string().replace('\n', " ")))?;
        if !ast
            .definitions
            .iter()
            .any(|d| matches!(d, Definition::Operation(_)))
        {
            return Err(Refused::Syntax("there is no operation".into()));
        }
        limits::document(&ast, limits, introspection)?;
        let errors = validate(&schema.consumer().document, &ast, &schema.rules);
        if !errors.is_empty() {
            return Err(Refused::Invalid(errors));
        }
        let mut operations = Vec::new();
        for (at, definition) in ast.definitions.iter().enumerate() {
            if let Definition::Operation(operation) = definition {
                operations.push(Prepared::new(schema, &ast, at, operation));
            }
        }
        Ok(Self {
            // A syntax tree, a plan and a selection for each word of the text: 16 kB for one of 90 letters, by the growth of a
            // process that keeps thousands.
            weight: 7000 + 100 * text.len() as u64,
            asked: AtomicU64::new(0),
            ast,
            operations,
        })
    }

    /// The operation of a name, or the only one.
    ///
    /// # Errors
    /// When there is none of the name, or several and no name, or it is a subscription.
    pub fn operation(&self, name: Option<&str>) -> Result<(usize, &Prepared), Refused> {
        let mut all = self.operations.iter().enumerate();
        let (at, chosen) = match name {
            Some(name) => all
                .find(|(_, of)| of.name.as_deref() == Some(name))
                .ok_or_else(|| Refused::UnknownOperation(name.into()))?,
            None => match (all.next(), all.next()) {
                (Some(one), None) => one,
                _ => return Err(Refused::OperationNameNeeded),
            },
        };
        match chosen.operation {
            Operation::Query | Operation::Mutation => Ok((at, chosen)),
            Operation::Subscription => Err(Refused::Subscription),
        }
    }
}

impl Prepared {
    fn new(
        schema: &Schema,
        ast: &Doc,
        at: usize,
        operation: &OperationDefinition<'static, String>,
    ) -> Self {
        use OperationDefinition as Op;
        let (kind, name, variables) = match operation {
            Op::SelectionSet(_) => (Operation::Query, None, &[][..]),
            Op::Query(of) => (
                Operation::Query,
                of.name.clone(),
                &of.variable_definitions[..],
            ),
            Op::Mutation(of) => (
                Operation::Mutation,
                of.name.clone(),
                &of.variable_definitions[..],
            ),
            Op::Subscription(of) => (
                Operation::Subscription,
                of.name.clone(),
                &of.variable_definitions[..],
            ),
        };
        let variables = variables.iter().map(|of| Variable {
            name: of.name.clone(),
            of: Type::of(&of.var_type),
            default: of.default_value.as_ref().map(variables::json),
        });
        let variables: Vec<Variable> = variables.collect();
        let fragments = limits::fragments(ast);
        let set = limits::parts(operation).1;
        let mut conditions = BTreeSet::new();
        conditions_of(ast, &mut conditions);
        conditions.retain(|name| variables.iter().any(|v| v.name == *name));
        let cost = root(schema, kind).map(|root| Cost::of(set, root, &fragments, schema));
        Self {
            name,
            operation: kind,
            cost: cost.unwrap_or_default(),
            variables,
            conditions: conditions.into_iter().collect(),
            at,
            plans: Mutex::default(),
        }
    }
}

/// The type whose fields an operation asks for, where the graph has one.
fn root(schema: &Schema, operation: Operation) -> Option<&String> {
    match operation {
        Operation::Query => Some(&schema.query),
        Operation::Mutation => schema.mutation.as_ref(),
        Operation::Subscription => None,
    }
}

fn plan(
    schema: &Schema,
    document: &Document,
    operation: usize,
    flags: &[bool],
) -> Result<Plan, Refused> {
    let prepared = document.operations.get(operation);
    let prepared = prepared.ok_or(Refused::Unplannable)?;
    let root = root(schema, prepared.operation).ok_or(Refused::Unplannable)?;
    PLANNED.inc();
    let said: HashMap<&str, bool> = prepared
        .conditions
        .iter()
        .map(String::as_str)
        .zip(flags.iter().copied())
        .collect();
    // Only this operation and the fragments, with nothing left that depends on a variable.
    let mut ast = document.ast.clone();
    let mut place = 0;
    ast.definitions.retain(|definition| {
        let keep = matches!(definition, Definition::Fragment(_)) || place == prepared.at;
        place += 1;
        keep
    });
    for definition in &mut ast.definitions {
        let (of, fragment) = match &*definition {
            Definition::Operation(_) => (root.clone(), false),
            Definition::Fragment(fragment) => (fragment.type_condition.as_ref().clone(), true),
        };
        let set = set_of(definition);
        call_apart(set, schema, &of);
        settle(set, &said);
        if fragment {
            or_type_name(set);
        }
    }
    let selection = selection(schema, root, &ast)?;
    for definition in &mut ast.definitions {
        let fragment = matches!(definition, Definition::Fragment(_));
        let set = set_of(definition);
        without_introspection(set);
        if fragment {
            or_type_name(set);
        }
    }
    if !asks_services(&ast) {
        return Ok(Plan {
            node: None,
            selection,
        });
    }
    let unplannable = |why: &dyn std::fmt::Display| {
        tracing::error!(%why, "a query cannot be planned");
        Refused::Unplannable
    };
    let planner = &schema.planner;
    let normal = normalize_operation(&planner.supergraph, &ast, None)
        .map_err(|error| unplannable(&error))?;
    let planned = planner.plan_from_normalized_operation(
        &normal.operation,
        PlannerOverrideContext::default(),
        &CancellationToken::with_timeout(PLANNING),
    );
    match planned {
        Ok(plan) => Ok(Plan {
            node: plan.node,
            selection,
        }),
        Err(PlannerError::CancellationError(_)) => Err(Refused::TooHard),
        Err(error) => Err(unplannable(&error)),
    }
}

fn selection(schema: &Schema, root: &str, ast: &Doc) -> Result<Arc<Selection>, Refused> {
    let fragments = limits::fragments(ast).into_iter().collect();
    let set = ast.definitions.iter().find_map(|d| match d {
        Definition::Operation(operation) => Some(limits::parts(operation).1),
        Definition::Fragment(_) => None,
    });
    let set = set.ok_or(Refused::Unplannable)?;
    Ok(Collector::new(schema, fragments).selection(&[set], &root.into()))
}

fn set_of<'a>(definition: &'a mut Definition<'static, String>) -> &'a mut Set {
    match definition {
        Definition::Operation(operation) => match operation {
            OperationDefinition::SelectionSet(set) => set,
            OperationDefinition::Query(of) => &mut of.selection_set,
            OperationDefinition::Mutation(of) => &mut of.selection_set,
            OperationDefinition::Subscription(of) => &mut of.selection_set,
        },
        Definition::Fragment(fragment) => &mut fragment.selection_set,
    }
}

fn directives_of<'a>(
    item: &'a mut AstSelection<'static, String>,
) -> &'a mut Vec<Directive<'static, String>> {
    match item {
        AstSelection::Field(of) => &mut of.directives,
        AstSelection::FragmentSpread(of) => &mut of.directives,
        AstSelection::InlineFragment(of) => &mut of.directives,
    }
}

/// Whether `@skip` and `@include` leave something in, once the variables are known.
fn stays(directives: &[Directive<'static, String>], said: &HashMap<&str, bool>) -> bool {
    directives.iter().all(|directive| {
        let wanted = match directive.name.as_str() {
            "skip" => false,
            "include" => true,
            _ => return true,
        };
        let condition = directive.arguments.iter().find(|(name, _)| name == "if");
        match condition.map(|(_, value)| value) {
            Some(Literal::Boolean(value)) => *value == wanted,
            Some(Literal::Variable(name)) => {
                said.get(name.as_str()).copied().unwrap_or(false) == wanted
            }
            _ => true,
        }
    })
}

/// Takes out what is skipped, and the conditions of what is not.
fn settle(set: &mut Set, said: &HashMap<&str, bool>) {
    set.items.retain_mut(|item| {
        let directives = directives_of(item);
        let stays = stays(directives, said);
        directives.retain(|d| d.name != "skip" && d.name != "include");
        stays
    });
    for item in &mut set.items {
        match item {
            AstSelection::Field(field) if !field.selection_set.items.is_empty() => {
                settle(&mut field.selection_set, said);
                or_type_name(&mut field.selection_set);
            }
            AstSelection::InlineFragment(fragment) => {
                settle(&mut fragment.selection_set, said);
                or_type_name(&mut fragment.selection_set);
            }
            _ => {}
        }
    }
}

/// Gives what a client calls like another field a name of its own: the planner asks for keys, types and what services
/// require by the names of their fields, and reads them there. `of` is the type of the set.
///
/// A change keeps the name that the client gave it, since no keys stand beside it: under that name a service knows it again
/// when it is repeated, and by then the graph may have other fields.
fn call_apart(set: &mut Set, schema: &Schema, of: &str) {
    let mutation = schema.mutation.as_deref();
    let changes = mutation.is_some_and(|mutation| schema.is_a(mutation, of));
    for item in &mut set.items {
        match item {
            AstSelection::Field(field) => {
                if let Some(alias) = &mut field.alias
                    && *alias != field.name
                    && (alias.starts_with("__") || !changes && schema.is_field(alias))
                {
                    alias.insert_str(0, CALLED);
                }
                let known = schema.field(of, &field.name);
                let below = known.map_or("", |known| known.of.name());
                call_apart(&mut field.selection_set, schema, below);
            }
            AstSelection::InlineFragment(fragment) => {
                let on = fragment.type_condition.as_ref().map(AsRef::as_ref);
                let on = on.map_or(of, String::as_str);
                call_apart(&mut fragment.selection_set, schema, on);
            }
            AstSelection::FragmentSpread(_) => {}
        }
    }
}

/// Where nothing is left to ask of an object, its type shows whether it is there.
fn or_type_name(set: &mut Set) {
    if set.items.is_empty() {
        set.items
            .push(AstSelection::Field(graphql_tools::parser::query::Field {
                position: set.span.0,
                alias: Some(NOTHING.into()),
                name: "__typename".into(),
                arguments: Vec::new(),
                directives: Vec::new(),
                selection_set: SelectionSet {
                    span: set.span,
                    items: Vec::new(),
                },
            }));
    }
}

/// What is asked of an object of which a client wants nothing.
pub const NOTHING: &str = "__nothing";

/// Leaves what services are to be asked for.
fn without_introspection(set: &mut Set) {
    set.items.retain_mut(|item| match item {
        AstSelection::Field(field) => {
            // Types are read under their own name, as which the planner may ask for them anyway; the client's is put on later.
            if field.name == "__typename" && field.alias.as_deref() != Some(NOTHING) {
                field.alias = None;
            }
            // What leads back to the top may be asked for the schema alone.
            if !field.selection_set.items.is_empty() {
                without_introspection(&mut field.selection_set);
                or_type_name(&mut field.selection_set);
            }
            !is_introspection(&field.name)
        }
        AstSelection::InlineFragment(fragment) => {
            without_introspection(&mut fragment.selection_set);
            or_type_name(&mut fragment.selection_set);
            true
        }
        AstSelection::FragmentSpread(_) => true,
    });
}

/// Whether anything but `__typename` is left at the top.
fn asks_services(ast: &Doc) -> bool {
    fn asks(set: &Set, fragments: &[(&str, &Set)], within: usize) -> bool {
        within < 64
            && set.items.iter().any(|item| match item {
                AstSelection::Field(field) => field.name != "__typename",
                AstSelection::InlineFragment(of) => asks(&of.selection_set, fragments, within + 1),
                AstSelection::FragmentSpread(of) => fragments
                    .iter()
                    .find(|(name, _)| *name == of.fragment_name)
                    .is_some_and(|(_, set)| asks(set, fragments, within + 1)),
            })
    }
    let fragments: Vec<(&str, &Set)> = limits::fragments(ast)
        .into_iter()
        .map(|(name, fragment)| (name, &fragment.selection_set))
        .collect();
    ast.definitions.iter().any(|definition| match definition {
        Definition::Operation(operation) => asks(limits::parts(operation).1, &fragments, 0),
        Definition::Fragment(_) => false,
    })
}

/// The variables in conditions.
fn conditions_of(ast: &Doc, found: &mut BTreeSet<String>) {
    fn of_set(set: &Set, found: &mut BTreeSet<String>) {
        for item in &set.items {
            let (directives, below) = match item {
                AstSelection::Field(of) => (&of.directives, Some(&of.selection_set)),
                AstSelection::FragmentSpread(of) => (&of.directives, None),
                AstSelection::InlineFragment(of) => (&of.directives, Some(&of.selection_set)),
            };
            for (_, value) in directives.iter().flat_map(|d| &d.arguments) {
                if let Literal::Variable(name) = value {
                    found.insert(name.clone());
                }
            }
            if let Some(below) = below {
                of_set(below, found);
            }
        }
    }
    for definition in &ast.definitions {
        match definition {
            Definition::Operation(operation) => of_set(limits::parts(operation).1, found),
            Definition::Fragment(fragment) => of_set(&fragment.selection_set, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::SUPERGRAPH;

    fn plans() -> Plans {
        let schema = Arc::new(Schema::new(SUPERGRAPH).unwrap());
        Plans::new(schema, Limits::default(), true, 1 << 20)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    const OFTEN: &str =
        "query($more: Boolean!) { brands { edges { node { id name @include(if: $more) } } } }";
    const ONCE: &str = "{ brands { edges { node { id } } } }";

    /// The ways in which the first operation of a text is planned.
    fn ways(plans: &Plans, text: &str) -> Option<usize> {
        let document = plans.kept.get(text)?;
        let planned = document.operations[0].plans.lock();
        Some(planned.values().filter(|cell| cell.initialized()).count())
    }

    #[tokio::test]
    async fn what_was_asked_most_is_planned_for_a_new_graph_in_all_the_ways_it_was_asked() {
        let old = plans();
        for (text, more) in [(ONCE, false), (OFTEN, true), (OFTEN, false), (OFTEN, true)] {
            let document = old.document(text, later()).await;
            let document = document.unwrap_or_else(|e| panic!("{e:?}"));
            let said = serde_json::json!({ "more": more });
            let said = said.as_object().unwrap();
            assert!(old.plan(&document, 0, said, later()).await.is_ok());
        }
        assert_eq!((ways(&old, OFTEN), ways(&old, ONCE)), (Some(2), Some(1)));
        let new = plans();
        new.warm(&old, 1);
        assert_eq!((ways(&new, OFTEN), ways(&new, ONCE)), (Some(2), None));
    }

    #[tokio::test]
    async fn work_keeps_its_turn_until_it_is_done_whoever_still_waits_for_it() {
        let plans = plans();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let work = plans.elsewhere(move || {
            let _ = begins.send(());
            wait.recv()
        });
        tokio::select! {
            _ = work => panic!("it waits to be let go"),
            begun = begun => begun.unwrap(),
        }
        // The client has gone away, and the work goes on.
        assert_eq!(plans.turns.available_permits(), 1);
        drop(go);
        let both = tokio::time::timeout_at(later(), plans.turns.acquire_many(2)).await;
        assert!(both.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_for_longer_than_for_the_answer() {
        let plans = plans();
        let turns = plans.turns.clone().acquire_many_owned(2).await.unwrap();
        let refused = plans.document(ONCE, Instant::now()).await.err();
        assert!(matches!(refused, Some(Refused::Late)), "{refused:?}");
        drop(turns);
        let document = plans.document(ONCE, later()).await;
        let document = document.unwrap_or_else(|e| panic!("{e:?}"));
        let _turns = plans.turns.clone().acquire_many_owned(2).await.unwrap();
        let refused = plans.plan(&document, 0, &Map::new(), Instant::now()).await;
        let refused = refused.err();
        assert!(matches!(refused, Some(Refused::Late)), "{refused:?}");
    }
}
