//! A small world of people, books and films, once as one schema and once in four parts behind the gateway.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use async_graphql::{Name, Value as Gql, dynamic::*};
use bahi_compose::{Subgraph, compose};
use graphql_tools::parser::{
    parse_schema,
    schema::{Definition, Field as AstField, Type as Ast, TypeDefinition, Value as Literal},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

pub const WHOLE: &str = r#"
interface Node { id: ID! }
interface Priced { title: String price: Int }
union Item = Book | Film
union Found = User | Review | Stock
enum Role { READER WRITER EDITOR }
input Filter { title: String max: Int roles: [Role!] }
type User implements Node { id: ID! name: String! email: String nick: String! role: Role friends: [User!]! best: User reviews(first: Int = 2): [Review!]! average: Int }
type Book implements Node & Priced { id: ID! title: String price: Int weight: Int pages: Int author: User stock: Stock reviews(first: Int = 2): [Review!]! shipping: Int label: String related: [Item!]! }
type Film implements Node & Priced { id: ID! title: String price: Int weight: Int minutes: Int director: User reviews(first: Int = 2): [Review!]! shipping: Int }
type Stock { sku: String! place: String! amount: Int! keeper: User }
type Review { id: ID! stars: Int! text: String author: User item: Item }
type Tree { name: String! left: Tree right: Tree user: User }
type Query {
  user(id: ID!): User
  users(first: Int = 3): [User!]!
  me: User!
  items(filter: Filter): [Item!]!
  priced: [Priced]
  node(id: ID!): Node
  book(id: ID!): Book
  latest(first: Int = 3): [Review!]!
  found: [Found!]
  stocks: [Stock!]!
  tree: Tree
  echo(list: [Int!], role: Role, text: String = "x"): String
}
type Mutation { rename(id: ID!, name: String!): User  review(item: ID!, stars: Int!): Review  fail: User }
"#;

pub const PARTS: [(&str, &str); 4] = [
    (
        "users",
        r#"
interface Node { id: ID! }
enum Role { READER WRITER EDITOR }
type User implements Node @key(fields: "id") { id: ID! name: String! email: String nick: String! role: Role friends: [User!]! best: User }
type Tree { name: String! left: Tree right: Tree user: User }
type Query { user(id: ID!): User users(first: Int = 3): [User!]! me: User! tree: Tree echo(list: [Int!], role: Role, text: String = "x"): String }
type Mutation { rename(id: ID!, name: String!): User fail: User }
"#,
    ),
    (
        "catalogue",
        r#"
interface Node { id: ID! }
interface Priced { title: String price: Int }
union Item = Book | Film
enum Role { READER WRITER EDITOR }
input Filter { title: String max: Int roles: [Role!] }
type User @key(fields: "id", resolvable: false) { id: ID! }
type Stock @key(fields: "sku place", resolvable: false) { sku: String! place: String! }
type Book implements Node & Priced @key(fields: "id") { id: ID! title: String price: Int weight: Int pages: Int author: User stock: Stock related: [Item!]! }
type Film implements Node & Priced @key(fields: "id") { id: ID! title: String price: Int weight: Int minutes: Int director: User }
type Query { items(filter: Filter): [Item!]! priced: [Priced] node(id: ID!): Node book(id: ID!): Book }
"#,
    ),
    (
        "reviews",
        r#"
union Item = Book | Film
union Found = User | Review | Stock
type User @key(fields: "id") { id: ID! reviews(first: Int = 2): [Review!]! name: String! @external average: Int @requires(fields: "name") }
type Stock @key(fields: "sku place", resolvable: false) { sku: String! place: String! }
type Book @key(fields: "id") { id: ID! reviews(first: Int = 2): [Review!]! }
type Film @key(fields: "id") { id: ID! reviews(first: Int = 2): [Review!]! }
type Review @key(fields: "id") { id: ID! stars: Int! text: String author: User item: Item }
type Query { latest(first: Int = 3): [Review!]! found: [Found!] }
type Mutation { review(item: ID!, stars: Int!): Review }
"#,
    ),
    (
        "shipping",
        r#"
type User @key(fields: "id", resolvable: false) { id: ID! }
type Stock @key(fields: "sku place") { sku: String! place: String! amount: Int! keeper: User }
type Book @key(fields: "id") { id: ID! price: Int @external weight: Int @external title: String @external shipping: Int @requires(fields: "price weight") label: String @requires(fields: "title") }
type Film @key(fields: "id") { id: ID! price: Int @external weight: Int @external shipping: Int @requires(fields: "price weight") }
type Query { stocks: [Stock!]! }
"#,
    ),
];

/// All there is, by type and id.
fn everything() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut add = |id: String, mut value: Value| {
        value["id"] = json!(id.split_once(':').map_or("", |(_, id)| id));
        value["__typename"] = json!(id.split_once(':').map_or("", |(of, _)| of));
        all.insert(id, value);
    };
    let to = |id: String| json!({ "$to": id });
    for n in 0..6 {
        add(
            format!("User:u{n}"),
            json!({
                "name": format!("Name {n}"),
                "email": format!("u{n}@x"),
                "nick": format!("n{n}"),
                "role": if n == 5 { Value::Null } else { json!(["READER", "WRITER", "EDITOR"][n % 3]) },
                "friends": [to(format!("User:u{}", (n + 1) % 4)), to(format!("User:u{}", (n + 2) % 4))],
                "best": if n % 2 == 0 { to(format!("User:u{}", 5 - n)) } else { Value::Null },
                "reviews": [to(format!("Review:r{n}")), to(format!("Review:r{}", (n + 1) % 6)), to(format!("Review:r{}", (n + 3) % 6))],
            }),
        );
        let item = |n: usize| {
            to(format!(
                "{}:i{n}",
                if n.is_multiple_of(2) { "Book" } else { "Film" }
            ))
        };
        add(
            format!("Review:r{n}"),
            json!({
                "stars": n,
                "text": if n == 2 { Value::Null } else { json!(format!("text \"{n}\"\n")) },
                "author": if n == 1 { Value::Null } else { to(format!("User:u{n}")) },
                "item": item((n + 1) % 6),
            }),
        );
        let mut of = json!({
            "title": if n == 5 { Value::Null } else { json!(format!("Title {n} é")) },
            "price": 100 * n,
            "weight": n + 1,
            "reviews": [to(format!("Review:r{}", (n + 5) % 6)), to(format!("Review:r{n}")), to(format!("Review:r{}", (n + 2) % 6))],
        });
        if n % 2 == 0 {
            of["pages"] = json!(n * 50);
            of["author"] = if n == 2 {
                Value::Null
            } else {
                to(format!("User:u{n}"))
            };
            of["stock"] = to(format!("Stock:{n}"));
            of["related"] = json!([item((n + 1) % 6), item((n + 2) % 6)]);
            add(format!("Book:i{n}"), of);
        } else {
            of["minutes"] = json!(n * 30);
            of["director"] = to(format!("User:u{}", (n + 2) % 6));
            add(format!("Film:i{n}"), of);
        }
        if n % 2 == 0 {
            add(
                format!("Stock:{n}"),
                json!({ "sku": format!("s{n}"), "place": "shelf", "amount": n, "keeper": to(format!("User:u{}", n % 3)) }),
            );
        }
    }
    all
}

/// The world, and what was changed in it.
pub struct World {
    things: BTreeMap<String, Value>,
    pub changes: Mutex<Vec<String>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            things: everything(),
            changes: Mutex::default(),
        })
    }

    fn all(&self, of: &[&str]) -> Vec<Value> {
        let all = self.things.iter();
        let all = all.filter(|(id, _)| of.iter().any(|of| id.starts_with(&format!("{of}:"))));
        all.map(|(_, value)| value.clone()).collect()
    }

    fn one(&self, of: &[&str], id: &Value) -> Value {
        let id = id.as_str().unwrap_or_default();
        let found = of
            .iter()
            .find_map(|of| self.things.get(&format!("{of}:{id}")));
        found.cloned().unwrap_or_default()
    }

    /// The whole of what a representation names.
    fn whole(&self, of: &Value) -> Value {
        let name = of["__typename"].as_str().unwrap_or_default();
        if name == "Stock" {
            let all = self.all(&["Stock"]).into_iter();
            let same = |s: &Value| s["sku"] == of["sku"] && s["place"] == of["place"];
            return all.into_iter().find(same).unwrap_or_default();
        }
        self.one(&[name], &of["id"])
    }

    /// What a field of an object is; `given` is all that a service was told of the object.
    fn field(&self, of: &str, name: &str, given: &Value, args: &Value) -> Result<Value, String> {
        let number = |name: &str| given[name].as_i64();
        let value = match (of, name) {
            ("Query", "user") => self.one(&["User"], &args["id"]),
            ("Query", "users") => json!(self.all(&["User"])),
            ("Query", "me") => self.one(&["User"], &json!("u0")),
            ("Query", "items") => {
                let mut items = self.all(&["Book", "Film"]);
                if let Some(max) = args["filter"]["max"].as_i64() {
                    items.retain(|item| item["price"].as_i64().unwrap_or(0) <= max);
                }
                json!(items)
            }
            ("Query", "priced") => json!(self.all(&["Film", "Book"])),
            ("Query", "node") => self.one(&["Book", "Film"], &args["id"]),
            ("Query", "book") => self.one(&["Book"], &args["id"]),
            ("Query", "latest") => json!(self.all(&["Review"])),
            ("Query", "found") => json!(self.all(&["User", "Review", "Stock"])),
            ("Query", "stocks") => json!(self.all(&["Stock"])),
            ("Query", "tree") => json!({
                "name": "root", "user": { "$to": "User:u1" },
                "left": { "name": "l", "user": { "$to": "User:u2" }, "left": { "name": "ll" } },
                "right": { "name": "r", "right": { "name": "rr", "user": { "$to": "User:u1" } } },
            }),
            ("Query", "echo") => json!(args.to_string()),
            ("Mutation", "fail") => return Err("it fails".into()),
            ("Mutation", change) => {
                self.changes.lock().push(format!("{change} {args}"));
                match change {
                    "rename" => self.one(&["User"], &args["id"]),
                    _ => self.one(&["Review"], &json!("r3")),
                }
            }
            // Only from what was told: a service that lacks it shows.
            (_, "shipping") => match (number("price"), number("weight")) {
                (Some(price), Some(weight)) => json!(price * weight),
                _ => Value::Null,
            },
            (_, "label") => given["title"]
                .as_str()
                .map_or(Value::Null, |t| json!(format!("<{t}>"))),
            (_, "average") => given["name"]
                .as_str()
                .map_or(Value::Null, |n| json!(n.len())),
            _ => {
                let whole = self.whole(given);
                let of = if whole.is_null() { given } else { &whole };
                of[name].clone()
            }
        };
        Ok(match (value, args["first"].as_u64()) {
            (Value::Array(items), Some(first)) => {
                json!(
                    items
                        .into_iter()
                        .take(usize::try_from(first).unwrap())
                        .collect::<Vec<_>>()
                )
            }
            (value, _) => value,
        })
    }

    /// A value, with its type where that is not the only one possible.
    fn shown(&self, value: Value, typed: bool) -> Result<FieldValue<'static>, String> {
        if let Some(to) = value["$to"].as_str() {
            return self.shown(self.things[to].clone(), typed);
        }
        Ok(match value {
            Value::Array(items) => {
                let items: Result<Vec<_>, _> =
                    items.into_iter().map(|i| self.shown(i, typed)).collect();
                FieldValue::list(items?)
            }
            Value::Object(_) => {
                let of = value["__typename"].as_str().map(str::to_owned);
                let shown = FieldValue::owned_any(value);
                match of {
                    Some(of) if typed => shown.with_type(of),
                    _ => shown,
                }
            }
            Value::Null => FieldValue::NULL,
            plain => FieldValue::value(Gql::from_json(plain).unwrap()),
        })
    }
}

fn type_of(ast: &Ast<'static, String>) -> TypeRef {
    match ast {
        Ast::NamedType(name) => TypeRef::named(name),
        Ast::ListType(of) => TypeRef::List(Box::new(type_of(of))),
        Ast::NonNullType(of) => TypeRef::NonNull(Box::new(type_of(of))),
    }
}

fn inner<'a>(of: &'a Ast<'static, String>) -> &'a str {
    match of {
        Ast::NamedType(name) => name,
        Ast::ListType(of) | Ast::NonNullType(of) => inner(of),
    }
}

fn constant(literal: &Literal<'static, String>) -> Gql {
    match literal {
        Literal::Int(n) => Gql::from(n.as_i64().unwrap()),
        Literal::String(text) => Gql::from(text.as_str()),
        Literal::Enum(word) => Gql::Enum(Name::new(word)),
        _ => Gql::Null,
    }
}

fn field(world: &Arc<World>, of: &str, ast: &AstField<'static, String>, part: bool) -> Field {
    let (world, of, name) = (world.clone(), of.to_owned(), ast.name.clone());
    let typed = ["Node", "Priced", "Item", "Found"].contains(&inner(&ast.field_type));
    let mut field = Field::new(ast.name.clone(), type_of(&ast.field_type), move |ctx| {
        let args = ctx
            .args
            .iter()
            .map(|(n, v)| (n.to_string(), v.as_value().clone().into_json().unwrap()));
        let args = Value::Object(args.collect());
        let given = ctx
            .parent_value
            .downcast_ref::<Value>()
            .cloned()
            .unwrap_or_default();
        // As one schema it knows all of a thing.
        let given = match part || given["__typename"].is_null() {
            true => given,
            false => {
                let whole = world.whole(&given);
                if whole.is_null() { given } else { whole }
            }
        };
        let value = world.field(&of, &name, &given, &args);
        let shown = match value {
            Ok(Value::Null) => Ok(None),
            Ok(value) => world.shown(value, typed).map(Some),
            Err(why) => Err(why),
        };
        FieldFuture::new(async move { shown.map_err(async_graphql::Error::new) })
    });
    for argument in &ast.arguments {
        let mut input = InputValue::new(argument.name.clone(), type_of(&argument.value_type));
        if let Some(default) = &argument.default_value {
            input = input.default_value(constant(default));
        }
        field = field.argument(input);
    }
    field
}

/// An executable schema of a text.
fn executable(world: &Arc<World>, sdl: &str, part: bool) -> Schema {
    let doc = parse_schema::<String>(sdl).unwrap().into_static();
    let mutation = sdl.contains("type Mutation").then_some("Mutation");
    let mut schema = Schema::build("Query", mutation, None);
    for definition in doc.definitions {
        let Definition::TypeDefinition(def) = definition else {
            continue;
        };
        schema = match def {
            TypeDefinition::Object(ast) => {
                let mut object = Object::new(ast.name.clone());
                for interface in &ast.implements_interfaces {
                    object = object.implement(interface);
                }
                for directive in ast.directives.iter().filter(|d| d.name == "key") {
                    if let Some((_, Literal::String(key))) = directive.arguments.first() {
                        object = match directive.arguments.len() {
                            1 => object.key(key),
                            _ => object.unresolvable(key),
                        };
                    }
                }
                for one in &ast.fields {
                    object = object.field(field(world, &ast.name, one, part));
                }
                schema.register(object)
            }
            TypeDefinition::Interface(ast) => {
                let mut interface = Interface::new(ast.name.clone());
                for one in &ast.fields {
                    let of = type_of(&one.field_type);
                    interface = interface.field(InterfaceField::new(one.name.clone(), of));
                }
                schema.register(interface)
            }
            TypeDefinition::Union(ast) => {
                let union = ast
                    .types
                    .iter()
                    .fold(Union::new(ast.name), |u, t| u.possible_type(t));
                schema.register(union)
            }
            TypeDefinition::Enum(ast) => {
                let words = ast.values.iter().map(|v| v.name.clone());
                schema.register(words.fold(Enum::new(ast.name.clone()), |e, w| e.item(w)))
            }
            TypeDefinition::InputObject(ast) => {
                let mut input = InputObject::new(ast.name.clone());
                for one in &ast.fields {
                    input =
                        input.field(InputValue::new(one.name.clone(), type_of(&one.value_type)));
                }
                schema.register(input)
            }
            TypeDefinition::Scalar(_) => schema,
        };
    }
    if part {
        let world = world.clone();
        schema = schema.enable_federation().entity_resolver(move |ctx| {
            let world = world.clone();
            FieldFuture::new(async move {
                let mut found = Vec::new();
                for one in ctx.args.try_get("representations")?.list()?.iter() {
                    let given: Value = one.as_value().clone().into_json()?;
                    found.push(match world.whole(&given).is_null() {
                        true => FieldValue::NULL,
                        false => {
                            let of = given["__typename"].as_str().unwrap_or_default().to_owned();
                            FieldValue::owned_any(given).with_type(of)
                        }
                    });
                }
                Ok(Some(FieldValue::list(found)))
            })
        });
    }
    schema.finish().unwrap()
}

/// The one schema of everything.
pub fn whole(world: &Arc<World>) -> Schema {
    executable(world, WHOLE, false)
}

/// The supergraph of the parts.
pub fn supergraph() -> String {
    let parts = PARTS.map(|(name, sdl)| Subgraph {
        name: name.into(),
        sdl: sdl.into(),
    });
    compose(&parts).unwrap()
}

/// A request as a part received it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub part: String,
    pub authorization: Option<String>,
    pub key: Option<String>,
    pub body: Value,
}

/// How a part behaves when it does not behave.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Status 500 and a text.
    Broken,
    /// Status 200 and a text.
    Garbled,
    /// Nothing, for ever.
    Silent,
    /// The connection ends within the answer.
    Abrupt,
    /// An error that tells of its insides.
    Talkative,
    /// A refusal as our services make it.
    Refusing,
    /// The same of the request as a whole: a problem document with this status and code.
    Problem(u16, &'static str),
    /// This.
    Says(&'static str),
}

/// What the parts were asked, and how they are.
#[derive(Default)]
pub struct Desk {
    pub asked: Mutex<Vec<Asked>>,
    pub moods: Mutex<BTreeMap<&'static str, Mood>>,
}

/// The parts, served.
pub struct Parts {
    pub desk: Arc<Desk>,
    pub settings: String,
}

impl Parts {
    pub async fn serve(world: &Arc<World>) -> Self {
        let schemas: BTreeMap<String, Schema> = PARTS
            .iter()
            .map(|(name, sdl)| ((*name).to_owned(), executable(world, sdl, true)))
            .collect();
        let desk: Arc<Desk> = Arc::default();
        let (schemas, log) = (web::Data::new(schemas), web::Data::from(desk.clone()));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(schemas.clone())
                .app_data(log.clone())
                .app_data(web::PayloadConfig::new(10_000_000))
                .route("/{part}/graphql", web::post().to(part))
                .route("/{part}/graphql", web::get().to(schema))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        let settings = PARTS.map(|(name, _)| format!("{name}=http://{address}/{name}/graphql"));
        Self {
            desk,
            settings: settings.join(","),
        }
    }
}

/// The schema of a part; that of shipping has changed since it was composed.
async fn schema(name: web::Path<String>) -> HttpResponse {
    let sdl = PARTS.iter().find(|(of, _)| *of == name.as_str());
    let more = if *name == "shipping" {
        "scalar New"
    } else {
        ""
    };
    HttpResponse::Ok().body(format!("{}{more}", sdl.unwrap().1))
}

const UNIONS: [&str; 2] = ["Item", "Found"];

/// The schemas that are put together at run time pass over fragments on unions, which they should not.
fn without_fragments_on_unions(query: &str) -> String {
    use graphql_tools::parser::query::{
        Definition, OperationDefinition as Op, Selection, SelectionSet,
    };
    type Set = SelectionSet<'static, String>;
    fn inline(set: &mut Set, unions: &BTreeMap<String, Vec<Selection<'static, String>>>) {
        let mut items = Vec::new();
        for mut item in std::mem::take(&mut set.items) {
            match &mut item {
                Selection::FragmentSpread(spread) if unions.contains_key(&spread.fragment_name) => {
                    let mut below = set.clone();
                    below.items = unions[&spread.fragment_name].clone();
                    inline(&mut below, unions);
                    items.extend(below.items);
                    continue;
                }
                Selection::Field(field) => inline(&mut field.selection_set, unions),
                Selection::InlineFragment(of) => {
                    inline(&mut of.selection_set, unions);
                    let on = of.type_condition.as_ref().map(|on| on.as_ref().as_str());
                    if on.is_some_and(|on| UNIONS.contains(&on)) {
                        items.append(&mut of.selection_set.items);
                        continue;
                    }
                }
                Selection::FragmentSpread(_) => {}
            }
            items.push(item);
        }
        set.items = items;
    }
    let mut doc = graphql_tools::parser::parse_query::<String>(query)
        .unwrap()
        .into_static();
    let mut unions = BTreeMap::new();
    doc.definitions.retain(|definition| match definition {
        Definition::Fragment(f) if UNIONS.contains(&f.type_condition.as_ref().as_str()) => {
            unions.insert(f.name.clone(), f.selection_set.items.clone());
            false
        }
        _ => true,
    });
    for definition in &mut doc.definitions {
        match definition {
            Definition::Fragment(f) => inline(&mut f.selection_set, &unions),
            Definition::Operation(Op::SelectionSet(set)) => inline(set, &unions),
            Definition::Operation(Op::Query(q)) => inline(&mut q.selection_set, &unions),
            Definition::Operation(Op::Mutation(m)) => inline(&mut m.selection_set, &unions),
            Definition::Operation(Op::Subscription(_)) => {}
        }
    }
    doc.to_string()
}

async fn part(
    req: HttpRequest,
    name: web::Path<String>,
    schemas: web::Data<BTreeMap<String, Schema>>,
    desk: web::Data<Desk>,
    body: web::Bytes,
) -> HttpResponse {
    let header = |name: &str| {
        let value = req.headers().get(name);
        value.map(|v| v.to_str().unwrap().to_owned())
    };
    desk.asked.lock().push(Asked {
        part: name.clone(),
        authorization: header("authorization"),
        key: header("idempotency-key"),
        body: serde_json::from_slice(&body).unwrap(),
    });
    let mood = desk.moods.lock().get(name.as_str()).copied();
    match mood {
        None => {}
        Some(Mood::Broken) => return HttpResponse::InternalServerError().body("insides"),
        Some(Mood::Garbled) => return HttpResponse::Ok().body("insides"),
        Some(Mood::Silent) => std::future::pending().await,
        Some(Mood::Abrupt) => {
            let piece =
                futures::stream::iter([Ok::<_, std::io::Error>(web::Bytes::from_static(b"{"))]);
            return HttpResponse::Ok().body(actix_web::body::SizedStream::new(99, piece));
        }
        Some(Mood::Talkative) => {
            let error = json!({ "message": "insides", "extensions": { "stack": "insides" } });
            return HttpResponse::Ok().json(json!({ "data": null, "errors": [error] }));
        }
        Some(Mood::Says(text)) => return HttpResponse::Ok().body(text),
        Some(Mood::Problem(status, code)) => {
            let problem = json!({
                "type": "about:blank", "title": "No", "status": status, "code": code,
                "detail": "It is refused.", "request_id": "r1",
            });
            let status = StatusCode::from_u16(status).unwrap();
            return HttpResponse::build(status)
                .content_type("application/problem+json")
                .body(problem.to_string());
        }
        Some(Mood::Refusing) => {
            let extensions = json!({ "code": "FORBIDDEN", "status": 403, "permission": "p" });
            let error =
                json!({ "message": "The permission p is needed.", "extensions": extensions });
            return HttpResponse::Ok().json(json!({ "data": null, "errors": [error] }));
        }
    }
    let mut request: async_graphql::Request = serde_json::from_slice(&body).unwrap();
    request.query = without_fragments_on_unions(&request.query);
    HttpResponse::Ok().json(schemas[name.as_str()].execute(request).await)
}
