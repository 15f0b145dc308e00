"""Definitions of models of Keras in the styles of public code; text, which the package never runs.

Each is a file of code and how its model is made: an expression, or the name of a model.
"""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

_OLD = """
import numpy as np
from keras.models import *
from keras.layers import *
from keras.optimizers import *
from keras import backend as keras

def unet(pretrained_weights = None,input_size = (32,32,1)):
    inputs = Input(input_size)
    conv1 = Conv2D(4, 3, activation = 'relu', padding='same', kernel_initializer = 'ones')(inputs)
    conv1 = Conv2D(4, 3, activation = 'relu', padding = 'same')(conv1)
    pool1 = MaxPooling2D(pool_size=(2, 2))(conv1)
    conv2 = Conv2D(8, 3, activation = 'relu', padding = 'same')(pool1)
    drop2 = Dropout(0.5)(conv2)
    up3 = Conv2D(4, 2, activation = 'relu', padding = 'same')(UpSampling2D(size = (2,2))(drop2))
    merge3 = concatenate([conv1,up3], axis = 3)
    conv3 = Conv2D(4, 3, activation = 'relu', padding = 'same')(merge3)
    conv4 = Conv2D(1, 1, activation = 'sigmoid')(conv3)
    model = Model(inputs, conv4)
    model.compile(optimizer = Adam(learning_rate = 1e-4), loss = 'binary_crossentropy')
    if(pretrained_weights):
        model.load_weights(pretrained_weights)
    return model
"""
_BLOCKS = """
import tensorflow as tf
from tensorflow.keras import layers, models

def conv_block(x, filters, kernel=3, norm=True):
    for _ in range(2):
        x = layers.Conv2D(filters, kernel, padding="same", use_bias=not norm)(x)
        if norm:
            x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    return x

def build_unet(input_shape, n_classes=1, filters=(4, 8, 16)):
    inputs = layers.Input(input_shape)
    x, skips = inputs, []
    for f in filters[:-1]:
        x = conv_block(x, f)
        skips.append(x)
        x = layers.MaxPool2D()(x)
    x = conv_block(x, filters[-1])
    for f, skip in zip(reversed(filters[:-1]), reversed(skips)):
        x = layers.Conv2DTranspose(f, (2, 2), strides=2, padding="same")(x)
        x = layers.concatenate([x, skip])
        x = conv_block(x, f)
    activation = "sigmoid" if n_classes == 1 else "softmax"
    outputs = layers.Conv2D(n_classes, 1, activation=activation)(x)
    return models.Model(inputs, outputs, name="U-Net")
"""
_LAMBDA = """
from tensorflow.keras.models import Model
from tensorflow.keras.layers import Input, Conv2D, MaxPooling2D, Lambda, Dropout
from tensorflow.keras.layers import Conv2DTranspose, concatenate

IMG_WIDTH = 32
IMG_HEIGHT = 32
IMG_CHANNELS = 3

inputs = Input((IMG_HEIGHT, IMG_WIDTH, IMG_CHANNELS))
s = Lambda(lambda x: x / 255)(inputs)
c1 = Conv2D(4, (3, 3), activation='elu', padding='same')(s)
c1 = Dropout(0.1)(c1)
c1 = Conv2D(4, (3, 3), activation='elu', padding='same')(c1)
p1 = MaxPooling2D((2, 2))(c1)
c2 = Conv2D(8, (3, 3), activation='elu', padding='same')(p1)
u3 = Conv2DTranspose(4, (2, 2), strides=(2, 2), padding='same')(c2)
u3 = concatenate([u3, c1], axis=3)
c3 = Conv2D(4, (3, 3), activation='elu', padding='same')(u3)
outputs = Conv2D(1, (1, 1), activation='sigmoid')(c3)
model = Model(inputs=[inputs], outputs=[outputs])
model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])
model.summary()
"""
_SEQUENTIAL = """
from tensorflow.keras.models import Sequential
from tensorflow.keras import layers

model = Sequential()
model.add(layers.Conv2D(4, (3, 3), padding='same', input_shape=(None, None, 1)))
model.add(layers.BatchNormalization())
model.add(layers.LeakyReLU(0.1))
for filters in [8, 8]:
    model.add(layers.Conv2D(filters, 3, activation='relu', padding='same', dilation_rate=2))
model.add(layers.Conv2D(3, 1, activation='softmax'))
"""
_LISTED = """
from tensorflow import keras
from tensorflow.keras import layers

def get_net(classes):
    return keras.Sequential([
        keras.Input(shape=(None, None, 3)),
        layers.Rescaling(1. / 255),
        layers.SeparableConv2D(6, 3, padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Conv2D(classes, 1),
    ])
"""
_RESIDUAL = """
from tensorflow import keras
from tensorflow.keras import layers

def get_model(img_size, num_classes):
    inputs = keras.Input(shape=img_size + (3,))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x
    for filters in [8, 12]:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(filters, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x
    for filters in [12, 8, 4]:
        x = layers.Activation("relu")(x)
        x = layers.Conv2DTranspose(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.UpSampling2D(2)(x)
        residual = layers.UpSampling2D(2)(previous_block_activation)
        residual = layers.Conv2D(filters, 1, padding="same")(residual)
        x = layers.add([x, residual])
        previous_block_activation = x
    outputs = layers.Conv2D(num_classes, 3, activation="softmax", padding="same")(x)
    return keras.Model(inputs, outputs)

model = get_model(img_size=(32, 32), num_classes=4)
"""
_ATTENTION = """
import tensorflow as tf
from tensorflow.keras.layers import *
from tensorflow.keras.models import Model

def gate(g, s, num_filters):
    Wg = Conv2D(num_filters, 1, padding="same")(g)
    Wg = BatchNormalization()(Wg)
    Ws = Conv2D(num_filters, 1, padding="same")(s)
    Ws = BatchNormalization()(Ws)
    out = Activation("relu")(Wg + Ws)
    out = Conv2D(num_filters, 1, padding="same")(out)
    out = Activation("sigmoid")(out)
    return out * s

def attention_unet(input_shape=(32, 32, 3)):
    inputs = Input(input_shape)
    s1 = Conv2D(4, 3, padding="same", activation=tf.nn.relu)(inputs)
    p1 = MaxPool2D((2, 2))(s1)
    b1 = Conv2D(8, 3, padding="same", activation="relu")(p1)
    u1 = UpSampling2D(interpolation="bilinear")(b1)
    a1 = gate(u1, s1, 4)
    d1 = Concatenate()([u1, a1])
    d1 = Conv2D(4, 3, padding="same", activation="relu")(d1)
    outputs = Conv2D(1, 1, padding="same", activation="sigmoid")(d1)
    return Model(inputs, outputs)
"""
_CLASS = """
from tensorflow.keras.models import Model
from tensorflow.keras.layers import Input, Conv2D, BatchNormalization, ReLU, Add

class ResNetSeg:
    @staticmethod
    def block(data, K, red=False):
        shortcut = data
        x = BatchNormalization(axis=-1, epsilon=2e-5, momentum=0.9)(data)
        x = ReLU()(x)
        x = Conv2D(K, (3, 3), padding="same", use_bias=False)(x)
        if red:
            shortcut = Conv2D(K, (1, 1), use_bias=False)(data)
        return Add()([x, shortcut])

    @staticmethod
    def build(width, height, depth, classes, widths=[4, 8]):
        inputs = Input(shape=(height, width, depth))
        x = inputs
        for i, w in enumerate(widths):
            x = ResNetSeg.block(x, w, red=True)
            x = ResNetSeg.block(x, w)
        x = Conv2D(classes, 1)(x)
        return Model(inputs, x, name="resnetseg")
"""
_OBJECT = """
from keras.models import *
from keras.layers import Input, Conv2D, MaxPooling2D, UpSampling2D, concatenate

class myUnet(object):

    def __init__(self, img_rows = 32, img_cols = 32):
        self.img_rows = img_rows
        self.img_cols = img_cols

    def load_data(self):
        return None

    def get_unet(self):
        inputs = Input((self.img_rows, self.img_cols,1))
        conv1 = Conv2D(4, 3, activation = 'relu', padding = 'same')(inputs)
        print("conv1 shape:",conv1.shape)
        pool1 = MaxPooling2D(pool_size=(2, 2))(conv1)
        conv2 = Conv2D(8, 3, activation = 'relu', padding = 'same')(pool1)
        up3 = Conv2D(4, 2, activation = 'relu', padding = 'same')(UpSampling2D(size = (2,2))(conv2))
        merge3 = concatenate([conv1, up3], axis = 3)
        conv4 = Conv2D(2, 3, activation = 'relu', padding = 'same')(merge3)
        conv5 = Conv2D(1, 1, activation = 'sigmoid')(conv4)
        model = Model(inputs = inputs, outputs = conv5)
        return model
"""
_NAMED = """
from tensorflow.keras import layers as L
from tensorflow.keras import Model

def down(x, f, name):
    c = L.Conv2D(f, 3, padding='same', activation='relu', name=f'{name}_conv1')(x)
    c = L.Conv2D(f, 3, padding='same', activation='relu', name=name + '_conv2')(c)
    return L.MaxPooling2D(name='%s_pool' % name)(c), c

def create_model(start_neurons=4):
    i = L.Input(shape=(None, None, 2), name='image')
    x, s1 = down(i, start_neurons * 1, 'down1')
    x, s2 = down(x, start_neurons * 2, 'down2')
    x = L.Conv2D(start_neurons * 4, 3, padding='same', activation='relu', name='middle')(x)
    for n, s in enumerate([s2, s1]):
        x = L.UpSampling2D(name='up{}'.format(n))(x)
        x = L.Concatenate(name='join{}'.format(n))([x, s])
        x = L.Conv2D(start_neurons * 2 // (n + 1), 3, padding='same', activation='relu',
                     name='up_conv{}'.format(n))(x)
    o = L.Conv2D(3, 1, activation='softmax', name='mask')(x)
    return Model(i, o)
"""
_VOLUME = """
from tensorflow.keras.layers import Input, Conv3D, MaxPooling3D, UpSampling3D, concatenate
from tensorflow.keras.layers import BatchNormalization, Activation
from tensorflow.keras.models import Model

def unet_model_3d(input_shape, pool_size=(2, 2, 2), n_labels=1, depth=2, n_base_filters=2,
                  batch_normalization=True, activation_name="sigmoid"):
    inputs = Input(input_shape)
    current_layer = inputs
    levels = list()
    for layer_depth in range(depth):
        layer1 = block(current_layer, n_base_filters*(2**layer_depth), batch_normalization)
        layer2 = block(layer1, n_base_filters*(2**layer_depth)*2, batch_normalization)
        if layer_depth < depth - 1:
            current_layer = MaxPooling3D(pool_size=pool_size)(layer2)
            levels.append([layer1, layer2, current_layer])
        else:
            current_layer = layer2
            levels.append([layer1, layer2])
    for layer_depth in range(depth-2, -1, -1):
        up = UpSampling3D(size=pool_size)(current_layer)
        concat = concatenate([up, levels[layer_depth][1]], axis=-1)
        current_layer = block(concat, levels[layer_depth][1].shape[-1], batch_normalization)
    final = Conv3D(n_labels, (1, 1, 1))(current_layer)
    act = Activation(activation_name)(final)
    return Model(inputs=inputs, outputs=act)

def block(input_layer, n_filters, batch_normalization=False):
    layer = Conv3D(n_filters, (3, 3, 3), padding='same')(input_layer)
    if batch_normalization:
        layer = BatchNormalization(axis=-1)(layer)
    return Activation('relu')(layer)
"""
_RECURSIVE = """
from tensorflow.keras.models import Model
from tensorflow.keras.layers import *

def level_block(m, dim, depth, inc, acti):
    if depth > 0:
        n = Conv2D(dim, 3, activation=acti, padding='same')(m)
        m = MaxPooling2D()(n)
        m = level_block(m, int(inc*dim), depth-1, inc, acti)
        m = UpSampling2D()(m)
        m = Conv2D(dim, 2, activation=acti, padding='same')(m)
        n = Concatenate()([n, m])
        m = Conv2D(dim, 3, activation=acti, padding='same')(n)
    else:
        m = Conv2D(dim, 3, activation=acti, padding='same')(m)
    return m

def UNet(img_shape, out_ch=1, start_ch=4, depth=3, inc_rate=2., activation='relu'):
    i = Input(shape=img_shape)
    o = level_block(i, start_ch, depth, inc_rate, activation)
    o = Conv2D(out_ch, 1, activation='sigmoid')(o)
    return Model(inputs=i, outputs=o)
"""
_SQUEEZE = """
from tensorflow.keras import backend as K
from tensorflow.keras.layers import *
from tensorflow.keras.models import Model

def squeeze_excite(inputs, ratio=2):
    channels = K.int_shape(inputs)[-1]
    se = GlobalAveragePooling2D()(inputs)
    se = Reshape((1, 1, channels))(se)
    se = Dense(channels // ratio, activation='relu', use_bias=False)(se)
    se = Dense(channels, activation='sigmoid', use_bias=False)(se)
    return multiply([inputs, se])

def res_unet():
    inputs = Input((32, 32, 1))
    x = Conv2D(4, 3, padding='same')(inputs)
    x = squeeze_excite(x)
    s = Conv2D(4, kernel_size=(1, 1), padding='same')(inputs)
    x = Add()([x, s])
    y = ZeroPadding2D((1, 1))(x)
    y = Conv2D(4, 3, strides=(1, 1), padding='valid')(y)
    y = Cropping2D(cropping=((1, 1), (1, 1)))(ZeroPadding2D(1)(y))
    y = Activation('relu')(y)
    outputs = Conv2D(1, 1, activation='sigmoid')(y)
    return Model(inputs, outputs)
"""
_SHARED = """
import tensorflow as tf
from tensorflow import keras

def make_head(f):
    return keras.Sequential([
        keras.layers.Conv2D(f, 3, padding='same', activation='relu'),
        keras.layers.Conv2D(f, 1),
    ], name='head')

def make_model(channels=3):
    inputs = keras.Input((None, None, channels))
    shared = keras.layers.Conv2D(channels, 3, padding='same', name='shared')
    one = shared(inputs)
    two = shared(keras.layers.ReLU()(one))
    x = keras.layers.Average()([one, two])
    x = tf.concat([x, 0.5 * inputs - 0.1], axis=-1)
    x = tf.nn.relu(x)
    outputs = make_head(2)(x)
    return keras.Model(inputs, outputs)
"""
_CONFIG = """
from tensorflow.keras.layers import Input, Conv2D, MaxPooling2D, Dropout, Conv2DTranspose
from tensorflow.keras.layers import BatchNormalization, concatenate, Activation
from tensorflow.keras.models import Model

class Config:
    FILTERS = 4
    CHANNELS = 1
    CLASSES = 3

cfg = Config()

def conv2d_block(input_tensor, n_filters, kernel_size=3, batchnorm=True):
    x = Conv2D(filters=n_filters, kernel_size=(kernel_size, kernel_size),
               kernel_initializer="he_normal", padding="same")(input_tensor)
    if batchnorm:
        x = BatchNormalization()(x)
    x = Activation("relu")(x)
    return x

def get_unet(input_img, n_filters=cfg.FILTERS, dropout=0.5, batchnorm=True):
    c1 = conv2d_block(input_img, n_filters=n_filters*1, kernel_size=3, batchnorm=batchnorm)
    p1 = MaxPooling2D((2, 2))(c1)
    p1 = Dropout(dropout*0.5)(p1)
    c2 = conv2d_block(p1, n_filters=n_filters*2, kernel_size=3, batchnorm=batchnorm)
    u3 = Conv2DTranspose(n_filters*1, (3, 3), strides=(2, 2), padding='same')(c2)
    u3 = concatenate([u3, c1])
    c3 = conv2d_block(u3, n_filters=n_filters*1, kernel_size=3, batchnorm=batchnorm)
    outputs = Conv2D(cfg.CLASSES, (1, 1), activation='softmax')(c3)
    model = Model(inputs=[input_img], outputs=[outputs])
    return model

input_img = Input((32, 32, cfg.CHANNELS), name='img')
model = get_unet(input_img, n_filters=4, dropout=0.05, batchnorm=True)
"""
_NESTED = """
from tensorflow.keras.layers import *
from tensorflow.keras.models import Model

def unet_pp(num_class=1, nb_filter=[2, 4, 8], color_type=1):
    act = lambda x: Activation('relu')(x)
    def unit(x, f, stage):
        x = Conv2D(f, (3, 3), name='conv' + stage + '_1', padding='same')(x)
        x = act(x)
        return x
    img_input = Input(shape=(32, 32, color_type), name='main_input')
    c00 = unit(img_input, nb_filter[0], '00')
    c10 = unit(MaxPooling2D((2, 2), strides=(2, 2))(c00), nb_filter[1], '10')
    u01 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name='up01', padding='same')(c10)
    c01 = unit(concatenate([u01, c00], name='merge01', axis=3), nb_filter[0], '01')
    c20 = unit(MaxPooling2D((2, 2), strides=(2, 2))(c10), nb_filter[2], '20')
    u11 = Conv2DTranspose(nb_filter[1], (2, 2), strides=(2, 2), name='up11', padding='same')(c20)
    c11 = unit(concatenate([u11, c10], name='merge11', axis=3), nb_filter[1], '11')
    u02 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name='up02', padding='same')(c11)
    c02 = unit(concatenate([u02, c00, c01], name='merge02', axis=3), nb_filter[0], '02')
    out = Conv2D(num_class, (1, 1), activation='sigmoid', name='output', padding='same')(c02)
    return Model(img_input, out)
"""
_FCN = """
from tensorflow.keras.models import Model
from tensorflow.keras.layers import *

def FCN8(nClasses=4, input_height=32, input_width=32):
    img_input = Input(shape=(input_height, input_width, 3))
    x = Conv2D(4, (3, 3), activation='relu', padding='same', name='block1_conv1')(img_input)
    f1 = x = MaxPooling2D((2, 2), strides=(2, 2), name='block1_pool')(x)
    x = Conv2D(8, (3, 3), activation='relu', padding='same', name='block2_conv1')(x)
    f2 = AveragePooling2D(2, 2, name='block2_pool')(x)
    o = Conv2D(8, (5, 5), activation='relu', padding='same', name="conv6")(f2)
    o = Dropout(0.5)(o)
    o = Conv2DTranspose(nClasses, kernel_size=(4, 4), strides=(2, 2), padding='same',
                        use_bias=False, name="up4")(o)
    o2 = Conv2D(nClasses, (1, 1), activation='relu', padding='same', name="pool3")(f1)
    o = Add(name="add")([o, o2])
    o = Conv2DTranspose(nClasses, kernel_size=(2, 2), strides=(2, 2), use_bias=False)(o)
    o = (Activation('softmax'))(o)
    model = Model(img_input, o)
    return model
"""
_ASPP = """
from tensorflow import keras
from tensorflow.keras import layers

def convolution_block(block_input, num_filters=8, kernel_size=3, dilation_rate=1, use_bias=False):
    x = layers.Conv2D(
        num_filters,
        kernel_size=kernel_size,
        dilation_rate=dilation_rate,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.HeNormal(),
    )(block_input)
    x = layers.BatchNormalization()(x)
    return keras.activations.relu(x)

def Deeplab(image_size=32, num_classes=2):
    model_input = keras.Input(shape=(image_size, image_size, 3))
    x = convolution_block(model_input)
    x = layers.MaxPooling2D()(x)
    dims = x.shape
    outs = [convolution_block(x, kernel_size=1, dilation_rate=1)]
    outs += [convolution_block(x, kernel_size=3, dilation_rate=r) for r in (2, 3)]
    x = layers.Concatenate(axis=-1)(outs)
    x = convolution_block(x, kernel_size=1)
    x = layers.UpSampling2D(size=(image_size // x.shape[1], image_size // x.shape[2]),
                            interpolation="bilinear")(x)
    outputs = layers.Conv2D(num_classes, kernel_size=(1, 1), padding="same")(x)
    return keras.Model(inputs=model_input, outputs=outputs)
"""
_PARTIAL = """
from functools import partial, reduce
from tensorflow.keras.layers import *
from tensorflow.keras.models import Model

Conv3 = partial(Conv2D, kernel_size=3, padding='same', kernel_initializer='he_normal')
LEVELS = {'small': [4, 8], 'large': [8, 16, 32]}

def encoder(x, widths):
    outs = []
    for i, w in enumerate(widths):
        if i != 0:
            x = MaxPooling2D()(x)
        x = reduce(lambda y, k: LeakyReLU()(Conv3(w)(y)), range(2), x)
        outs.append(x)
    return outs

def network(kind='small', *, channels=1, classes=2):
    inp = Input(shape=[None, None, channels])
    *skips, x = encoder(inp, LEVELS[kind])
    while skips:
        s = skips.pop()
        x = UpSampling2D((2, 2))(x)
        x = concatenate([s, x])
        x = LeakyReLU()(Conv3(s.shape[-1])(x))
    return Model(inputs=[inp], outputs=Conv2D(classes, 1, activation='softmax')(x))
"""
_ARGUMENTS = """
import argparse
from tensorflow import keras as k

def bn_relu(x, norm='batch'):
    if norm is None:
        pass
    elif norm == 'batch':
        x = k.layers.BatchNormalization(axis=3, scale=False)(x)
    else:
        raise ValueError(norm)
    return k.layers.Activation(k.activations.relu)(x)

def model_fn(height=32, width=32, channels=3, filters=4, dropout_rate=0.0, norm='batch'):
    assert height % 2 == 0
    x_in = k.layers.Input(shape=(height, width, channels))
    a = bn_relu(k.layers.Conv2D(filters, 3, padding='SAME'.lower())(x_in), norm)
    if dropout_rate > 0:
        a = k.layers.SpatialDropout2D(dropout_rate)(a)
    b = k.layers.MaxPooling2D(pool_size=2, strides=2)(a)
    b = bn_relu(k.layers.Conv2D(filters * 2, 3, padding='same')(b), norm)
    b = k.layers.Conv2DTranspose(filters, 2, 2)(b)
    out = k.layers.Subtract()([a, b])
    out = k.layers.Conv2D(1, 1)(out)
    out = k.layers.Activation('sigmoid')(out)
    return k.models.Model(x_in, out)

if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    model_fn(channels=3, filters=4).summary()
"""

DEFINITIONS: dict[str, tuple[str, str]] = {
    "old style": (_OLD, "unet()"),
    "old style, other channels": (_OLD, "unet(input_size=(32, 32, 3))"),
    "blocks": (_BLOCKS, "build_unet((32, 32, 3))"),
    "blocks with classes": (_BLOCKS, "build_unet((None, None, 1), n_classes=4)"),
    "a notebook with Lambda": (_LAMBDA, "model"),
    "sequential": (_SEQUENTIAL, "model"),
    "sequential as a list": (_LISTED, "get_net(3)"),
    "separable and residual": (_RESIDUAL, "model"),
    "gates by operators": (_ATTENTION, "attention_unet()"),
    "static methods": (_CLASS, "ResNetSeg.build(32, 32, 3, 5)"),
    "methods of an object": (_OBJECT, "myUnet().get_unet()"),
    "names": (_NAMED, "create_model()"),
    "volumes": (_VOLUME, "unet_model_3d((16, 16, 16, 1))"),
    "recursion": (_RECURSIVE, "UNet((32, 32, 3))"),
    "squeeze and excite": (_SQUEEZE, "res_unet()"),
    "shared layers": (_SHARED, "make_model()"),
    "a map as an argument": (_CONFIG, "model"),
    "nested": (_NESTED, "unet_pp()"),
    "transposed heads": (_FCN, "FCN8()"),
    "dilated": (_ASPP, "Deeplab()"),
    "partial": (_PARTIAL, "network(channels=2, classes=3)"),
    "arguments": (_ARGUMENTS, "model_fn()"),
}
"""Name -> code, and the expression that makes the model."""
