//! OpenAPI descriptions of responses: status, headers, media type and an example.

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Header, MediaType, Operation, ReferenceOr, Response as Described, SchemaObject, StatusCode as Status},
};
use schemars::json_schema;
use serde_json::{Value, json};

use crate::http::{
    api::{
        answer::ApiError,
        reply::{Body, Created, Deleted, Paginated, WithEtag},
        schema::ResponseBody,
    },
    chat::{Completed, Completion},
    events::Events,
    health::{Health, Live},
    openapi::Document,
    responses::{self, ModelResponse},
};

macro_rules! documented {
    ($kind:ident, $status:literal, $text:literal, $headers:expr) => {
        impl<T: ResponseBody> OperationOutput for $kind<T> {
            type Inner = T;
            fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
                let schema = ctx.schema.subschema_for::<T>();
                vec![(Some(Status::Code($status)), described(schema, T::example(), $text, &$headers))]
            }
        }
    };
}

documented!(Body, 200, "What was asked for.", [] as [&str; 0]);

documented!(WithEtag, 200, "What was asked for.", ["ETag"]);

documented!(Created, 201, "It was made.", ["Location"]);

impl<T: ResponseBody> OperationOutput for Paginated<T> {
    type Inner = T;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = ctx.schema.subschema_for::<Vec<T>>();
        vec![(
            Some(Status::Code(200)),
            described(schema, Value::Array(vec![T::example()]), "One page of the list.", &["Link"]),
        )]
    }
}

impl OperationOutput for Deleted {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        vec![(Some(Status::Code(204)), empty("It is gone.", &[]))]
    }
}

impl OperationOutput for ApiError {
    type Inner = ();
}

impl OperationOutput for Health {
    type Inner = Self;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let mut described = |text, example| described(ctx.schema.subschema_for::<Self>(), example, text, &[]);
        let failing = json!({ "status": "failing", "version": "0.1.0", "database": "unreachable", "components": null });
        let ok = described("It is well.", Self::example());
        vec![(Some(Status::Code(200)), ok), (Some(Status::Code(503)), described("The database is gone.", failing))]
    }
}

impl OperationOutput for Live {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        vec![(Some(Status::Code(200)), text("It answers.", "ok"))]
    }
}

impl OperationOutput for Events {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = json_schema!({ "type": "string" });
        let example = "event: run.started\ndata: {\"event_type\":\"run.started\"}\nid: 7\n\n".into();
        vec![(Some(Status::Code(200)), typed("text/event-stream", schema, example, "Events, as they come.", &[]))]
    }
}

impl OperationOutput for Completed {
    type Inner = Completion;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = ctx.schema.subschema_for::<Completion>();
        let headers = ["X-Moxxy-Run-Id"];
        let mut whole = described(schema, Completion::example(), "The answer, as `stream` asks.", &headers);
        let text = json_schema!({ "type": "string" });
        let example = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[…]}\n\ndata: [DONE]\n\n".into();
        whole.content.extend(typed("text/event-stream", text, example, "", &[]).content);
        vec![(Some(Status::Code(200)), whole)]
    }
}

impl OperationOutput for responses::Created {
    type Inner = ModelResponse;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = ctx.schema.subschema_for::<ModelResponse>();
        let headers = ["X-Moxxy-Run-Id"];
        let mut whole = described(schema, ModelResponse::example(), "The response, as `stream` asks.", &headers);
        let text = json_schema!({ "type": "string" });
        let example = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{…}}\n\n".into();
        whole.content.extend(typed("text/event-stream", text, example, "", &[]).content);
        vec![(Some(Status::Code(200)), whole)]
    }
}

impl OperationOutput for Document {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = json_schema!({ "type": "object", "additionalProperties": true });
        let example = json!({ "openapi": "3.1.0", "info": { "title": "Moxxy" } });
        vec![(Some(Status::Code(200)), described(schema, example, "The document.", &[]))]
    }
}

/// Describes a response with JSON.
fn described(schema: schemars::Schema, example: Value, text: &str, headers: &[&str]) -> Described {
    typed("application/json", schema, example, text, headers)
}

/// Describes a response with the media type `media`.
fn typed(media: &str, schema: schemars::Schema, example: Value, text: &str, headers: &[&str]) -> Described {
    let schema = SchemaObject { json_schema: schema, external_docs: None, example: None };
    let content = MediaType { schema: Some(schema), example: Some(example), ..MediaType::default() };
    Described { content: [(media.to_owned(), content)].into_iter().collect(), ..empty(text, headers) }
}

/// Describes a response with plain text.
fn text(text: &str, example: &str) -> Described {
    typed("text/plain", json_schema!({ "type": "string" }), example.into(), text, &[])
}

/// Describes a response without a body. Its headers are components of the document.
fn empty(text: &str, headers: &[&str]) -> Described {
    let reference = |name: &&str| {
        let reference = format!("#/components/headers/{name}");
        ((*name).to_owned(), ReferenceOr::<Header>::Reference { reference, summary: None, description: None })
    };
    Described { description: text.to_owned(), headers: headers.iter().map(reference).collect(), ..Described::default() }
}
