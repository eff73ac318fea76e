// What the server answers from its own binary. Paths are relative to this file; the build notes them as dependencies.
#include "embedded_files.h"

#if !defined(__has_embed)
#error "#embed is needed: clang 19 or newer, as Swift 6.2 brings it"
#endif
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char openapi_yaml[] = {
#embed "../../openapi.yaml"
};
static const unsigned char openapi_json[] = {
#embed "../../web/openapi.json"
};
static const unsigned char docs_html[] = {
#embed "../../web/docs.html"
};
static const unsigned char docs_css[] = {
#embed "../../web/docs.css"
};
static const unsigned char docs_js[] = {
#embed "../../web/docs.js"
};
static const unsigned char page_css[] = {
#embed "../../web/page.css"
};
static const unsigned char playground_html[] = {
#embed "../../web/playground.html"
};
static const unsigned char playground_css[] = {
#embed "../../web/playground.css"
};
static const unsigned char playground_js[] = {
#embed "../../web/playground.js"
};
static const unsigned char shared_js[] = {
#embed "../../web/shared.js"
};
static const unsigned char requests_js[] = {
#embed "../../web/requests.js"
};
static const unsigned char figures_js[] = {
#embed "../../web/figures.js"
};
static const unsigned char calls_js[] = {
#embed "../../web/calls.js"
};
static const unsigned char subject_js[] = {
#embed "../../web/subject.js"
};
static const unsigned char drawing_js[] = {
#embed "../../web/drawing.js"
};
static const unsigned char tensors_js[] = {
#embed "../../web/tensors.js"
};
static const unsigned char astronaut_jpg[] = {
#embed "../../Examples/astronaut.jpg"
};
static const unsigned char astronaut_face_safetensors[] = {
#embed "../../Examples/astronaut_face.safetensors"
};
static const unsigned char astronaut_face_attention_safetensors[] = {
#embed "../../Examples/astronaut_face_attention.safetensors"
};
static const unsigned char astronaut_flag_safetensors[] = {
#embed "../../Examples/astronaut_flag.safetensors"
};
static const unsigned char astronaut_flag_attention_safetensors[] = {
#embed "../../Examples/astronaut_flag_attention.safetensors"
};
static const unsigned char astronaut_helmet_safetensors[] = {
#embed "../../Examples/astronaut_helmet.safetensors"
};
static const unsigned char astronaut_helmet_attention_safetensors[] = {
#embed "../../Examples/astronaut_helmet_attention.safetensors"
};
static const unsigned char cat_jpg[] = {
#embed "../../Examples/cat.jpg"
};
static const unsigned char cat_eye_safetensors[] = {
#embed "../../Examples/cat_eye.safetensors"
};
static const unsigned char cat_eye_attention_safetensors[] = {
#embed "../../Examples/cat_eye_attention.safetensors"
};
static const unsigned char cat_nose_safetensors[] = {
#embed "../../Examples/cat_nose.safetensors"
};
static const unsigned char cat_nose_attention_safetensors[] = {
#embed "../../Examples/cat_nose_attention.safetensors"
};
static const unsigned char coffee_jpg[] = {
#embed "../../Examples/coffee.jpg"
};
static const unsigned char coffee_cup_safetensors[] = {
#embed "../../Examples/coffee_cup.safetensors"
};
static const unsigned char coffee_cup_attention_safetensors[] = {
#embed "../../Examples/coffee_cup_attention.safetensors"
};
static const unsigned char coffee_espresso_safetensors[] = {
#embed "../../Examples/coffee_espresso.safetensors"
};
static const unsigned char coffee_espresso_attention_safetensors[] = {
#embed "../../Examples/coffee_espresso_attention.safetensors"
};
static const unsigned char coffee_spoon_safetensors[] = {
#embed "../../Examples/coffee_spoon.safetensors"
};
static const unsigned char coffee_spoon_attention_safetensors[] = {
#embed "../../Examples/coffee_spoon_attention.safetensors"
};

#define FILE_NAMED(name, bytes) {name, bytes, sizeof bytes}

static const crop_embedded_file files[] = {
    FILE_NAMED("openapi.yaml", openapi_yaml),
    FILE_NAMED("openapi.json", openapi_json),
    FILE_NAMED("docs.html", docs_html),
    FILE_NAMED("docs.css", docs_css),
    FILE_NAMED("docs.js", docs_js),
    FILE_NAMED("page.css", page_css),
    FILE_NAMED("playground.html", playground_html),
    FILE_NAMED("playground.css", playground_css),
    FILE_NAMED("playground.js", playground_js),
    FILE_NAMED("shared.js", shared_js),
    FILE_NAMED("requests.js", requests_js),
    FILE_NAMED("figures.js", figures_js),
    FILE_NAMED("calls.js", calls_js),
    FILE_NAMED("subject.js", subject_js),
    FILE_NAMED("drawing.js", drawing_js),
    FILE_NAMED("tensors.js", tensors_js),
    FILE_NAMED("astronaut.jpg", astronaut_jpg),
    FILE_NAMED("astronaut_face.safetensors", astronaut_face_safetensors),
    FILE_NAMED("astronaut_face_attention.safetensors", astronaut_face_attention_safetensors),
    FILE_NAMED("astronaut_flag.safetensors", astronaut_flag_safetensors),
    FILE_NAMED("astronaut_flag_attention.safetensors", astronaut_flag_attention_safetensors),
    FILE_NAMED("astronaut_helmet.safetensors", astronaut_helmet_safetensors),
    FILE_NAMED("astronaut_helmet_attention.safetensors", astronaut_helmet_attention_safetensors),
    FILE_NAMED("cat.jpg", cat_jpg),
    FILE_NAMED("cat_eye.safetensors", cat_eye_safetensors),
    FILE_NAMED("cat_eye_attention.safetensors", cat_eye_attention_safetensors),
    FILE_NAMED("cat_nose.safetensors", cat_nose_safetensors),
    FILE_NAMED("cat_nose_attention.safetensors", cat_nose_attention_safetensors),
    FILE_NAMED("coffee.jpg", coffee_jpg),
    FILE_NAMED("coffee_cup.safetensors", coffee_cup_safetensors),
    FILE_NAMED("coffee_cup_attention.safetensors", coffee_cup_attention_safetensors),
    FILE_NAMED("coffee_espresso.safetensors", coffee_espresso_safetensors),
    FILE_NAMED("coffee_espresso_attention.safetensors", coffee_espresso_attention_safetensors),
    FILE_NAMED("coffee_spoon.safetensors", coffee_spoon_safetensors),
    FILE_NAMED("coffee_spoon_attention.safetensors", coffee_spoon_attention_safetensors),
};

const crop_embedded_file *crop_embedded_files(size_t *count) {
  *count = sizeof files / sizeof files[0];
  return files;
}
